//! A few orders for one session: as small as can be, as most sessions never get any.
//!
//! A channel of tokio's takes some 800 bytes a session before anything is sent; this takes about
//! a hundred.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// One end of a mailbox; there is one sender and one receiver.
#[derive(Debug)]
struct Mailbox<T> {
    queue: Mutex<Queue<T>>,
    news: Notify,
    max: usize,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

/// Puts orders in. Dropped, the receiver hears the end after what waits.
#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Mailbox<T>>);

/// Takes orders out.
#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<Mailbox<T>>);

/// A mailbox that holds `max` at most.
pub(crate) fn new<T>(max: usize) -> (Sender<T>, Receiver<T>) {
    let queue = Queue {
        waiting: VecDeque::new(),
        closed: false,
    };
    let mailbox = Arc::new(Mailbox {
        queue: Mutex::new(queue),
        news: Notify::new(),
        max,
    });
    (Sender(Arc::clone(&mailbox)), Receiver(mailbox))
}

impl<T> Mailbox<T> {
    fn with<R>(&self, act: impl FnOnce(&mut Queue<T>) -> R) -> R {
        // Nothing in here panics halfway.
        act(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> Sender<T> {
    /// Puts one in; `false` when it is full or nobody will take it out.
    pub(crate) fn send(&self, item: T) -> bool {
        let sent = self.0.with(|queue| {
            let room = !queue.closed && queue.waiting.len() < self.0.max;
            if room {
                queue.waiting.push_back(item);
            }
            room
        });
        self.0.news.notify_one();
        sent
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.with(|queue| queue.closed = true);
        self.0.news.notify_one();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.with(|queue| queue.closed = true);
    }
}

impl<T> Receiver<T> {
    /// The next one; `None` at the end. Cancel-safe.
    pub(crate) async fn recv(&mut self) -> Option<T> {
        loop {
            let (item, closed) = self.0.with(|queue| {
                let item = queue.waiting.pop_front();
                if queue.waiting.is_empty() {
                    // The memory of a burst goes back at once.
                    queue.waiting = VecDeque::new();
                }
                (item, queue.closed)
            });
            if item.is_some() || closed {
                return item;
            }
            self.0.news.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_put_in_comes_out_in_order_and_then_the_end() {
        let (sender, mut receiver) = new(2);
        assert!(sender.send(1) && sender.send(2));
        assert!(!sender.send(3), "full");
        assert_eq!(receiver.recv().await, Some(1));
        assert!(sender.send(4));
        drop(sender);
        assert_eq!(receiver.recv().await, Some(2));
        assert_eq!(receiver.recv().await, Some(4));
        assert_eq!(receiver.recv().await, None);
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let (sender, mut receiver) = new(1);
        let waiting = tokio::spawn(async move { (receiver.recv().await, receiver.recv().await) });
        tokio::task::yield_now().await;
        assert!(sender.send("news"));
        drop(sender);
        assert_eq!(waiting.await.unwrap(), (Some("news"), None));
    }

    #[test]
    fn nothing_is_sent_to_whom_is_gone() {
        let (sender, receiver) = new(1);
        drop(receiver);
        assert!(!sender.send(()));
    }
}
