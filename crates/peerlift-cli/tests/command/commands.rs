//! Usage, help and everything that is generated.

use crate::common::{Edge, File, Running, World};

#[test]
fn mistakes_end_with_two_and_say_what_would_be_right() {
    let world = World::new();
    for (line, word) in [
        ("get", "<URL>"),
        ("get http://h/f --no-such-option", "--no-such-option"),
        ("get http://h/f --limit-down fast", "5M"),
        ("get ftp://h/f", "http"),
        ("get notaurl", "http://"),
        ("get http://h/f --share sometimes", "while-downloading"),
        ("get http://h/f --json --quiet", "--quiet"),
        ("get http://h/f -x 99", "16"),
        ("frobnicate", "frobnicate"),
        ("publish", "<PATH>"),
        ("verify f --publisher 12", "64"),
        ("", "Usage"),
    ] {
        let ended = world.run(line.split_whitespace());
        assert_eq!(ended.status.code(), Some(2), "{line}: {ended:?}");
        assert!(ended.stderr.contains(word), "{line}: {}", ended.stderr);
        assert!(ended.stdout.is_empty(), "{line}");
    }
}

#[test]
fn help_is_no_error() {
    let world = World::new();
    for line in [
        "--help",
        "-h",
        "--version",
        "get --help",
        "publish -h",
        "serve --help",
    ] {
        let ended = world.run(line.split(' ')).fine();
        assert!(
            !ended.stdout.is_empty() && ended.stderr.is_empty(),
            "{line}"
        );
    }
    assert!(world.run(["--version"]).text().starts_with("peerlift "));
}

#[test]
fn completions_and_manual_pages_are_printed() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            world
                .run(["completions", shell])
                .fine()
                .text()
                .contains("limit-down"),
            "{shell}"
        );
    }
    assert!(world.run(["man"]).fine().text().contains(".TH peerlift"));
    world.run(["man", "pages"]).fine();
    let pages = world.list("pages");
    assert!(pages.contains(&"peerlift.1".to_owned()), "{pages:?}");
    assert!(pages.contains(&"peerlift-get.1".to_owned()), "{pages:?}");
}

#[test]
fn a_configuration_file_that_was_named_must_exist() {
    let ended = World::new().run(["get", "http://h/f", "--config", "nowhere.toml"]);
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains("nowhere.toml"), "{}", ended.stderr);
}

#[test]
fn what_is_logged_goes_to_standard_error_and_hides_secrets() {
    let (world, edge) = (World::new(), Edge::new());
    edge.put("/f", File::new(b"hello"));
    let token = "Authorization: Bearer s3cret";
    for level in ["-v", "-vv", "-vvv", "-vvvv"] {
        let url = edge.url("/f");
        let ended = world
            .run(["get", level, &url, "-o", "-", "-H", token])
            .fine();
        assert_eq!(ended.stdout, b"hello", "{level}");
        assert!(
            !ended.stderr.contains("s3cret"),
            "{level}: {}",
            ended.stderr
        );
    }
    let mut command = world.command(["get", &edge.url("/f")]);
    let ended = Running::start(command.env("PEERLIFT_LOG", "peerlift_net=loud")).wait();
    ended.failed(2, &["PEERLIFT_LOG"]);
}
