//! Whether the network is metered: NetworkManager's word, over the system's D-Bus.
//!
//! `org.freedesktop.NetworkManager`, property `Metered` (NMMetered): 1 yes, 3 guessed yes. No bus, no
//! NetworkManager, or no answer: unknown, which is taken for not metered.

use std::time::Duration;

use zbus::{Connection, OwnedVariant};

/// How long an answer may take; a bus on the same machine takes a millisecond.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Yes, and probably.
const METERED: [u32; 2] = [1, 3];

/// Asks NetworkManager on the system's bus.
pub(super) async fn is_metered() -> bool {
    let asked = async {
        let bus = Connection::system().await?;
        ask(&bus, Some("org.freedesktop.NetworkManager")).await
    };
    let answer = tokio::time::timeout(ANSWER_WITHIN, asked).await;
    match answer {
        Ok(Ok(metered)) => METERED.contains(&metered),
        Ok(Err(error)) => {
            tracing::debug!(%error, "whether the network is metered is unknown");
            false
        }
        Err(_) => false,
    }
}

async fn ask(connection: &Connection, name: Option<&str>) -> zbus::Result<u32> {
    let reply = connection
        .call_method(
            name,
            "/org/freedesktop/NetworkManager",
            Some("org.freedesktop.DBus.Properties"),
            "Get",
            &("org.freedesktop.NetworkManager", "Metered"),
        )
        .await?;
    let value: OwnedVariant = reply.body().deserialize()?;
    u32::try_from(value)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use zbus::connection::Builder;

    use super::*;

    /// Stands in for NetworkManager at the other end of a socket.
    struct Manager(u32);

    #[zbus::interface(name = "org.freedesktop.NetworkManager")]
    impl Manager {
        #[zbus(property)]
        fn metered(&self) -> u32 {
            self.0
        }
    }

    async fn answer(says: u32) -> u32 {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let guid = zbus::Guid::generate();
        let server = Builder::unix_stream(theirs)
            .server(guid)
            .p2p()
            .serve_at("/org/freedesktop/NetworkManager", Manager(says));
        let client = Builder::unix_stream(ours).p2p();
        let (server, client) = tokio::join!(server.build(), client.build());
        let (_server, client) = (server.unwrap(), client.unwrap());
        ask(&client, None).await.unwrap()
    }

    #[tokio::test]
    async fn the_manager_is_asked_in_its_own_words() {
        for says in 0..5 {
            assert_eq!(answer(says).await, says);
        }
    }
}
