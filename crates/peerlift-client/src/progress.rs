//! Where a download's events go.

use std::collections::BTreeSet;

use tokio::sync::mpsc;

use crate::event::Event;

/// How many events wait for a slow reader. Snapshots beyond that are dropped, as the next one says
/// more; 64 of them are 16 seconds' worth.
pub(crate) const EVENTS_MAX: usize = 64;

/// The sending side of a download's events.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    events: mpsc::Sender<Event>,
    warned: BTreeSet<String>,
}

/// Different warnings that a person is shown in one download; the rest goes to the log.
const WARNINGS_MAX: usize = 16;

impl Progress {
    pub(crate) fn new(events: mpsc::Sender<Event>) -> Self {
        Self {
            events,
            warned: BTreeSet::new(),
        }
    }

    /// Sends an event that may be missed.
    pub(crate) fn send(&self, event: Event) {
        // Full: the reader is slow and the next snapshot replaces this one. Closed: nobody looks.
        let _ = self.events.try_send(event);
    }

    /// Sends an event that must not be missed; waits for the reader.
    pub(crate) async fn deliver(&self, event: Event) {
        // Closed: nobody looks.
        let _ = self.events.send(event).await;
    }

    /// Warns of something that may happen many times, once.
    pub(crate) fn warn_once(&mut self, what: &dyn std::fmt::Display) {
        self.warn(what.to_string());
    }

    /// Warns, unless the same was said before.
    pub(crate) fn warn(&mut self, text: String) {
        if self.warned.len() < WARNINGS_MAX && self.warned.insert(text.clone()) {
            self.send(Event::Warning { text });
        }
    }
}
