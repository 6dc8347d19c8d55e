//! Bytes in are bytes out and waste: what left lines was taken in or lost, and every core's own
//! books say what was taken in.

use std::collections::BTreeMap;

use peerlift_model::Timestamp;

use super::{Check, Sight};

#[derive(Debug, Default)]
pub(super) struct Books {
    sent: u64,
    arrived: u64,
    lost: u64,
    /// What each task took in that was correct.
    tasks: BTreeMap<u32, u64>,
}

impl Check for Books {
    fn name(&self) -> &'static str {
        "books"
    }

    fn see(&mut self, sight: &Sight, _now: Timestamp) -> Result<(), String> {
        match *sight {
            Sight::Began { task, .. } => {
                self.tasks.insert(task, 0);
            }
            Sight::Sent { bytes, .. } => self.sent += bytes,
            Sight::Lost { bytes } => self.lost += bytes,
            Sight::Arrived {
                task,
                bytes,
                correct,
                ..
            } => {
                self.arrived += bytes;
                if let (Some(sum), true) = (self.tasks.get_mut(&task), correct) {
                    *sum += bytes;
                }
            }
            Sight::Closed { task, books } => {
                let taken_in = self.tasks.remove(&task).unwrap_or_default();
                if let Some((new, wasted)) = books
                    && taken_in != new + wasted
                {
                    return Err(format!(
                        "{task} took in {taken_in} bytes, its core counts {new} new and {wasted} \
                         wasted"
                    ));
                }
            }
            Sight::Told { .. }
            | Sight::Requested { .. }
            | Sight::Ended { .. }
            | Sight::Parted { .. }
            | Sight::Serves { .. }
            | Sight::Finished { .. } => {}
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let (sent, arrived, lost) = (self.sent, self.arrived, self.lost);
        if sent != arrived + lost {
            return Err(format!(
                "{sent} bytes left, {arrived} arrived and {lost} were lost"
            ));
        }
        Ok(())
    }
}
