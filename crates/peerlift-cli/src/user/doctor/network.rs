//! What a download would meet: server, control nodes, clock, NAT. Asks only whom a download would ask.

use peerlift_client::{Client, ClientConfig, ControlSight, Examination, Outside};
use peerlift_daemon::explanations::Explanations;
use url::Url;

use super::{Finding, User};

/// A clock that is wrong by more makes tickets and tokens fail, which are good for minutes.
const CLOCK_WRONG_S: u64 = 60;

/// Looks at a URL, else at that of the last download.
pub(super) fn findings(named: Option<&Url>, user: &User) -> Vec<Finding> {
    let Some(url) = named.cloned().or_else(|| last_url(user)) else {
        return vec![Finding::note(
            "network",
            "not looked at: nothing was downloaded yet; `peerlift doctor URL` looks at a server",
        )];
    };
    let config = ClientConfig::new(user.home.data.clone(), user.home.cache.clone());
    let examined = user.wait_for(Client::new(config).examine(&url));
    match examined {
        Ok(examination) => told(&url, &examination),
        Err(error) => vec![Finding::bad("server", format!("{url}: {error}"))],
    }
}

fn last_url(user: &User) -> Option<Url> {
    let all = Explanations::of(&user.home).all().ok()?;
    all.last()?.url.parse().ok()
}

fn told(url: &Url, examination: &Examination) -> Vec<Finding> {
    let ms = examination.edge_ms;
    let server = match &examination.publisher {
        Some(name) if name.is_empty() => Finding::good(
            "server",
            format!("{url} answered within {ms} ms; signed by a publisher without a name"),
        ),
        Some(name) => Finding::good(
            "server",
            format!("{url} answered within {ms} ms; signed by {name:?}"),
        ),
        None => Finding::note(
            "server",
            format!(
                "{url} answered within {ms} ms; nobody signed the file, so it comes from there alone"
            ),
        ),
    };
    let mut findings = vec![server];
    findings.extend(examination.controls.iter().map(control));
    findings.extend(clock(&examination.controls));
    findings.extend(examination.outside.map(nat));
    findings
}

fn control(sight: &ControlSight) -> Finding {
    match &sight.fault {
        None => Finding::good("control node", format!("{} lets us in", sight.url)),
        Some(fault) => Finding::note(
            "control node",
            format!(
                "{}: {fault}; downloads come from the server alone meanwhile",
                sight.url
            ),
        ),
    }
}

fn clock(controls: &[ControlSight]) -> Option<Finding> {
    let ahead = controls.iter().find_map(|sight| sight.clock_ahead_s)?;
    Some(if ahead.unsigned_abs() <= CLOCK_WRONG_S {
        Finding::good("clock", "agrees with the control node's")
    } else {
        let word = if ahead > 0 { "behind" } else { "ahead of" };
        Finding::bad(
            "clock",
            format!(
                "this machine's is {} s {word} the control node's: set it, else tokens and \
                 introductions fail",
                ahead.unsigned_abs()
            ),
        )
    })
}

fn nat(outside: Outside) -> Finding {
    match outside {
        Outside::Open => Finding::good("NAT", "none: this machine's address is its own"),
        Outside::Behind {
            same_port: Some(true),
            ..
        } => Finding::good(
            "NAT",
            "behind one that shows two relays the same port; other downloaders can be met directly",
        ),
        Outside::Behind {
            same_port: Some(false),
            ..
        } => Finding::note(
            "NAT",
            "behind one that shows everybody another port; few downloaders can be met directly, and \
             the server is enough",
        ),
        Outside::Behind {
            keeps_port: true, ..
        } => Finding::good(
            "NAT",
            "behind one that keeps port numbers; other downloaders can most likely be met directly",
        ),
        Outside::Behind {
            keeps_port: false, ..
        } => Finding::note(
            "NAT",
            "behind one that changes port numbers; some downloaders cannot be met directly",
        ),
        Outside::Blocked => Finding::note(
            "NAT",
            "behind one that lets no UDP out, as two relays found; few downloaders can be met, and \
             the server is enough",
        ),
        Outside::Untold => Finding::note(
            "NAT",
            "behind one, and no relay answered by UDP: it may be blocked; the server is enough",
        ),
        Outside::Unknown | _ => {
            Finding::note("NAT", "nobody could say what this machine looks like")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_is_bad_and_a_silent_node_is_survived() {
        let sight = |clock_ahead_s, fault: Option<&str>| ControlSight {
            url: "http://a/control".to_owned(),
            fault: fault.map(str::to_owned),
            clock_ahead_s,
        };
        let text = |controls: &[ControlSight]| clock(controls).unwrap().text;
        assert!(text(&[sight(None, Some("gone")), sight(Some(3), None)]).contains("agrees"));
        assert!(text(&[sight(Some(3600), None)]).contains("3600 s behind"));
        assert!(text(&[sight(Some(-90), None)]).contains("90 s ahead of"));
        assert!(clock(&[sight(None, Some("gone"))]).is_none());
        assert!(
            control(&sight(None, Some("gone")))
                .text
                .contains("server alone")
        );
    }

    #[test]
    fn what_two_relays_tell_comes_before_what_one_does() {
        let told = |keeps_port, same_port| {
            let told = nat(Outside::Behind {
                keeps_port,
                same_port,
            });
            told.text
        };
        assert!(told(true, Some(false)).contains("everybody another port"));
        assert!(told(false, Some(true)).contains("the same port"));
        assert!(told(true, None).contains("keeps port numbers"));
        assert!(told(false, None).contains("changes port numbers"));
        assert!(nat(Outside::Blocked).text.contains("no UDP out"));
    }
}
