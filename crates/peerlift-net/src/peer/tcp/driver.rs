//! The task that owns a link's socket and TLS session.
//!
//! ```text
//!   orders, over, data ──► parcels ──► TLS ──► socket
//!   readers ◄── Inbox ◄── parcels ◄── TLS ◄── socket
//! ```
//!
//! The ends of requests and the control stream go before answers. Nothing is taken from a queue
//! before the kernel has taken what came before, and the kernel takes little ahead of time (see
//! `door::tune`): so a message never waits behind more than a few parcels. It reads on only while
//! every reader has a place, and goes on writing meanwhile.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use peerlift_model::PeerId;
use peerlift_wire::parcel::{Parcel, ParcelDecoder, RequestNumber};
use peerlift_wire::peer::RangeRequest;
use rustls::Connection;
use tokio::io::AsyncReadExt as _;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::inbox::{Inbox, Part};
use super::link::{End, Order, Outgoing, Over, Question, Shared, TcpLink};
use super::records::{Followed, Records};
use crate::peer::PeerLinkError;
use crate::peer::frames::misbehaved;
use crate::peer::node::{SILENCE_MAX, STREAMS_MAX};
use crate::threshold::Threshold;

/// Messages and requests that wait to be sent.
const ORDERS_MAX: usize = 32;

/// Parts of answers that wait to be sent: one to be there when another has gone.
const DATA_MAX: usize = 2;

/// Bytes read from the socket at a time.
const READ_BYTES: usize = 64 * 1024;

/// Bytes of small parcels that go into one write.
const SMALL_BYTES_MAX: usize = 16 * 1024;

/// How often a link is looked after. One that has sent nothing since says that it is alive.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Bytes of answers without a reader that are put up with between two that have one: more than
/// can be on its way when we stop an answer.
const UNREAD_BYTES_MAX: usize = 16 << 20;

/// A link on this socket: the handle, and what has to run for it.
pub(super) fn link(
    followed: Followed,
    tls: Connection,
    peer: PeerId,
    rtt: Duration,
    closing: CancellationToken,
) -> (TcpLink, impl Future<Output = ()> + Send + 'static) {
    let (orders, order_receiver) = mpsc::channel(ORDERS_MAX);
    let (data, data_receiver) = mpsc::channel(DATA_MAX);
    let (over, over_receiver) = mpsc::unbounded_channel();
    let (question_sender, questions) = mpsc::channel(STREAMS_MAX.into());
    let (inbox, messages) = Inbox::new();
    let (next_number, end) = (Arc::new(AtomicU32::new(0)), Arc::<End>::default());
    let socket = &followed.socket;
    let addresses = socket.local_addr().ok().zip(socket.peer_addr().ok());
    let driver = Driver::new(
        followed,
        tls,
        inbox,
        Queues {
            orders: order_receiver,
            data: data_receiver,
            over: over_receiver,
        },
        question_sender,
        Arc::clone(&next_number),
        closing.clone(),
    );
    let link = TcpLink(Arc::new(Shared {
        peer,
        rtt,
        addresses,
        orders,
        data,
        over,
        questions: questions.into(),
        messages: Some(messages).into(),
        next_number,
        closing,
        end: Arc::clone(&end),
    }));
    (link, driver.drive(end))
}

/// What handles want to be done.
#[derive(Debug)]
struct Queues {
    orders: mpsc::Receiver<Order>,
    data: mpsc::Receiver<Outgoing>,
    over: mpsc::UnboundedReceiver<Over>,
}

struct Driver {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    records: Records,
    threshold: Threshold,
    tls: Connection,
    parcels: ParcelDecoder,
    buffer: Box<[u8]>,
    inbox: Inbox,
    queues: Queues,
    questions: mpsc::Sender<Question>,
    /// The peer's requests that are not answered yet.
    asked: BTreeMap<RequestNumber, CancellationToken>,
    next_number: Arc<AtomicU32>,
    /// Small parcels on their way into TLS.
    small: Vec<u8>,
    unread_bytes: usize,
    closing: CancellationToken,
    look: Interval,
    heard_at: Instant,
    sent_something: bool,
}

/// What woke the driver.
enum Woken {
    Close,
    Place,
    Read(io::Result<usize>),
    Writable,
    Order(Option<Order>),
    Data(Outgoing),
    Over(Over),
    Look,
}

impl Driver {
    fn new(
        Followed { socket, records }: Followed,
        mut tls: Connection,
        inbox: Inbox,
        queues: Queues,
        questions: mpsc::Sender<Question>,
        next_number: Arc<AtomicU32>,
        closing: CancellationToken,
    ) -> Self {
        // What goes in is bounded by `write`, which waits for the socket.
        tls.set_buffer_limit(None);
        let (reader, writer) = socket.into_split();
        let mut look = interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            reader,
            writer,
            records,
            threshold: Threshold::default(),
            tls,
            parcels: ParcelDecoder::default(),
            buffer: vec![0; READ_BYTES].into(),
            inbox,
            queues,
            questions,
            asked: BTreeMap::new(),
            next_number,
            small: Vec::new(),
            unread_bytes: 0,
            closing,
            look,
            heard_at: Instant::now(),
            sent_something: true,
        }
    }

    /// Runs until the link is over; then everybody who holds a part of it is told.
    async fn drive(mut self, end: Arc<End>) {
        let Err(error) = self.run().await;
        tracing::debug!(%error, "link over TCP ended");
        end.set(error);
        for stopped in self.asked.values() {
            stopped.cancel();
        }
    }

    async fn run(&mut self) -> Result<std::convert::Infallible, PeerLinkError> {
        // What came together with the end of the handshake.
        self.take_plaintext()?;
        loop {
            self.send()?;
            match self.wait().await {
                Woken::Close | Woken::Order(None) => {
                    self.part();
                    return Err(PeerLinkError::Closed);
                }
                Woken::Place => self.inbox.deliver(),
                Woken::Read(read) => self.read(read)?,
                Woken::Writable => {}
                Woken::Order(Some(order)) => self.order(order),
                Woken::Over(over) => self.over(&over),
                Woken::Data(outgoing) => self.data(&outgoing)?,
                Woken::Look => self.look_after()?,
            }
        }
    }

    async fn wait(&mut self) -> Woken {
        let (may_read, may_take) = (self.inbox.is_empty(), !self.tls.wants_write());
        let Queues { orders, data, over } = &mut self.queues;
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Woken::Close,
            () = self.inbox.place(), if !may_read => Woken::Place,
            read = self.reader.read(&mut self.buffer), if may_read => Woken::Read(read),
            // An error shows itself with the next write.
            _ = self.writer.writable(), if !may_take => Woken::Writable,
            Some(over) = over.recv(), if may_take => Woken::Over(over),
            order = orders.recv(), if may_take => Woken::Order(order),
            Some(outgoing) = data.recv(), if may_take => Woken::Data(outgoing),
            _ = self.look.tick() => Woken::Look,
        }
    }

    /// Takes from the queues and sends until the socket takes no more, or nothing is left.
    fn send(&mut self) -> Result<(), PeerLinkError> {
        loop {
            self.put_small(&[])?;
            if !self.write()? || !self.take_next()? {
                return Ok(());
            }
        }
    }

    /// Takes the next things to send. Whether there were any.
    fn take_next(&mut self) -> Result<bool, PeerLinkError> {
        while self.small.len() < SMALL_BYTES_MAX {
            if let Some(number) = self.inbox.next_unread() {
                self.small.extend_from_slice(&Parcel::Stop(number).encode());
            } else if let Ok(over) = self.queues.over.try_recv() {
                self.over(&over);
            } else if let Ok(order) = self.queues.orders.try_recv() {
                self.order(order);
            } else if let Ok(outgoing) = self.queues.data.try_recv() {
                self.data(&outgoing)?;
                return Ok(true);
            } else {
                break;
            }
        }
        Ok(!self.small.is_empty())
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Send(parcel) => self.small.extend_from_slice(&parcel),
            Order::Ask(number, request, reader) => {
                self.inbox.expect(number, reader);
                let parcel = Parcel::Ask(number, request).encode();
                self.small.extend_from_slice(&parcel);
            }
        }
    }

    fn over(&mut self, over: &Over) {
        let parcel = match *over {
            Over::Stop(number) if self.inbox.forget(number) => Parcel::Stop(number),
            Over::GiveUp(number) if self.asked.remove(&number).is_some() => Parcel::GiveUp(number),
            Over::Stop(_) | Over::GiveUp(_) => return,
        };
        self.small.extend_from_slice(&parcel.encode());
    }

    fn data(&mut self, outgoing: &Outgoing) -> Result<(), PeerLinkError> {
        let number = outgoing.number;
        match &outgoing.bytes {
            // Nobody wants it any longer.
            _ if !self.asked.contains_key(&number) => {}
            Some(bytes) => self.put_data(number, bytes)?,
            None => {
                self.asked.remove(&number);
                self.small.extend_from_slice(&Parcel::End(number).encode());
            }
        }
        Ok(())
    }

    fn put_data(&mut self, number: RequestNumber, bytes: &Bytes) -> Result<(), PeerLinkError> {
        self.small
            .extend_from_slice(&Parcel::data_header(number, bytes.len()));
        self.put_small(bytes)
    }

    /// Encrypts the small parcels and what follows them.
    fn put_small(&mut self, after: &[u8]) -> Result<(), PeerLinkError> {
        if self.small.is_empty() {
            return Ok(());
        }
        let parts = [io::IoSlice::new(&self.small), io::IoSlice::new(after)];
        let taken = self.tls.writer().write_vectored(&parts).map_err(broken)?;
        debug_assert_eq!(taken, self.small.len() + after.len(), "there is no limit");
        self.small.clear();
        Ok(())
    }

    /// Writes what is encrypted. Whether the socket took all of it.
    fn write(&mut self) -> Result<bool, PeerLinkError> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Writer(&self.writer)) {
                Ok(_) => self.sent_something = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(broken(error)),
            }
        }
        Ok(true)
    }

    fn read(&mut self, read: io::Result<usize>) -> Result<(), PeerLinkError> {
        let length = match read {
            Ok(0) => return Err(PeerLinkError::Closed),
            Ok(length) => length,
            Err(error) => return Err(broken(error)),
        };
        self.heard_at = Instant::now();
        self.records.follow(&self.buffer[..length]);
        // Nothing is held up: what is later in the stream cannot be read before, either.
        self.threshold
            .set(self.reader.as_ref(), self.records.missing());
        let buffer = std::mem::take(&mut self.buffer);
        let result = self.decrypt(&buffer[..length]);
        self.buffer = buffer;
        result
    }

    fn decrypt(&mut self, mut bytes: &[u8]) -> Result<(), PeerLinkError> {
        while !bytes.is_empty() {
            if self.tls.read_tls(&mut bytes).map_err(misbehaved)? == 0 {
                return Err(PeerLinkError::Closed);
            }
            self.tls.process_new_packets().map_err(misbehaved)?;
            self.take_plaintext()?;
        }
        Ok(())
    }

    fn take_plaintext(&mut self) -> Result<(), PeerLinkError> {
        loop {
            let mut reader = self.tls.reader();
            // It fails when there is nothing, or when the peer has closed TLS: then the socket
            // tells.
            let Ok(plaintext) = reader.fill_buf() else {
                return Ok(());
            };
            let length = plaintext.len();
            if length == 0 {
                return Ok(());
            }
            self.parcels.push(plaintext);
            reader.consume(length);
            while let Some(parcel) = self.parcels.next_parcel().map_err(misbehaved)? {
                self.take(parcel)?;
            }
        }
    }

    fn take(&mut self, parcel: Parcel) -> Result<(), PeerLinkError> {
        match parcel {
            Parcel::Control(message) => self.inbox.message(message),
            Parcel::Ask(number, request) => self.question(number, request)?,
            Parcel::Data(number, bytes) => self.answer(number, Part::Data(bytes))?,
            Parcel::End(number) => self.answer(number, Part::End)?,
            Parcel::GiveUp(number) => {
                self.known(number)?;
                self.inbox.forget(number);
            }
            Parcel::Stop(number) => {
                if let Some(stopped) = self.asked.remove(&number) {
                    stopped.cancel();
                }
            }
            Parcel::Ping => {}
            Parcel::Close => return Err(PeerLinkError::Closed),
        }
        Ok(())
    }

    fn question(
        &mut self,
        number: RequestNumber,
        request: RangeRequest,
    ) -> Result<(), PeerLinkError> {
        if self.asked.len() >= usize::from(STREAMS_MAX) {
            return Err(misbehaved("too many requests"));
        }
        let stopped = CancellationToken::new();
        if self.asked.insert(number, stopped.clone()).is_some() {
            return Err(misbehaved("one number for two requests"));
        }
        let question = Question {
            number,
            request,
            stopped,
        };
        // Full of requests that were stopped before they were looked at.
        let asked = self.questions.try_send(question);
        asked.map_err(|_| misbehaved("too many requests"))
    }

    fn answer(&mut self, number: RequestNumber, part: Part) -> Result<(), PeerLinkError> {
        self.known(number)?;
        let length = match &part {
            Part::Data(bytes) => bytes.len(),
            Part::End => 0,
        };
        if self.inbox.part(number, part) {
            self.unread_bytes = 0;
            return Ok(());
        }
        self.unread_bytes += length;
        if self.unread_bytes > UNREAD_BYTES_MAX {
            return Err(misbehaved("answers that nobody wants"));
        }
        Ok(())
    }

    /// Whether we have ever put such a request.
    fn known(&self, number: RequestNumber) -> Result<(), PeerLinkError> {
        if number < self.next_number.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err(misbehaved("an answer to no request"))
        }
    }

    fn look_after(&mut self) -> Result<(), PeerLinkError> {
        // A record may take longer than a link may be silent: what has come of it is heard, too.
        self.threshold.set(self.reader.as_ref(), 1);
        if self.inbox.is_empty() && self.heard_at.elapsed() > SILENCE_MAX {
            return Err(PeerLinkError::Timeout);
        }
        if !std::mem::take(&mut self.sent_something) && !self.tls.wants_write() {
            self.small.extend_from_slice(&Parcel::Ping.encode());
        }
        Ok(())
    }

    /// Tells the peer that the link ends, if the socket takes it.
    fn part(&mut self) {
        self.small.extend_from_slice(&Parcel::Close.encode());
        if self.put_small(&[]).is_ok() {
            self.tls.send_close_notify();
            // It finds out by itself otherwise.
            let _ = self.write();
        }
    }
}

/// The socket as rustls writes to it.
struct Writer<'a>(&'a OwnedWriteHalf);

impl io::Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the end of a socket means.
fn broken(error: io::Error) -> PeerLinkError {
    if error.kind() == io::ErrorKind::TimedOut {
        PeerLinkError::Timeout
    } else {
        PeerLinkError::Closed
    }
}
