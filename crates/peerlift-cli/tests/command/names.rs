//! Sizes at the edges of groups and pieces, and names that look for trouble.

use std::fs::File as DiskFile;
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Duration;

use crate::common::answer::put_published;
use crate::common::{Edge, File, KIB, MIB, Running, Serving, World, noise};

/// Around one group of 16 KiB, one small piece, and the size where pieces grow.
const SIZES: [u64; 12] = [
    0,
    1,
    16 * KIB - 1,
    16 * KIB,
    16 * KIB + 1,
    32 * KIB + 1,
    64 * KIB - 1,
    64 * KIB,
    64 * KIB + 1,
    MIB - 1,
    MIB,
    MIB + 1,
];

#[test]
fn published_files_of_every_awkward_size_arrive() {
    let (world, edge) = (World::new(), Edge::new());
    let mut urls = Vec::new();
    for size in SIZES {
        let path = world.publish(&format!("published/{size}"), &noise(size));
        put_published(&edge, &format!("/{size}"), &path);
        urls.push(edge.url(&format!("/{size}")));
    }
    world
        .get([&urls[..], &["-o".to_owned(), "got".to_owned()]].concat())
        .fine();
    for size in SIZES {
        assert!(world.read(&format!("got/{size}")) == noise(size), "{size}");
    }
    assert_eq!(world.list("got").len(), SIZES.len());
}

#[test]
fn plain_files_of_every_awkward_size_arrive() {
    let (world, edge) = (World::new(), Edge::new());
    for size in SIZES {
        let file = File::new(&noise(size));
        edge.put("/ranges", file.clone());
        edge.put("/stream", file.clone().without_ranges());
        edge.put("/weak", file.clone().etag("W/\"v1\""));
        edge.put("/no-etag", file.without_etag());
        for path in ["ranges", "stream", "weak", "no-etag"] {
            let output = format!("{path}-{size}");
            world
                .get([&edge.url(&format!("/{path}")), "-o", &output])
                .fine();
            assert!(world.read(&output) == noise(size), "{output}");
        }
    }
    assert!(world.list("").iter().all(|name| !name.contains(".part")));
}

#[test]
fn streams_of_every_awkward_size_arrive() {
    let (world, edge) = (World::new(), Edge::new());
    for size in SIZES {
        let path = world.publish(&format!("published/{size}"), &noise(size));
        put_published(&edge, &format!("/{size}"), &path);
        let ended = world
            .get([&edge.url(&format!("/{size}")), "-o", "-"])
            .fine();
        assert!(ended.stdout == noise(size), "{size}");
    }
}

#[test]
fn names_in_urls_become_harmless_files() {
    let (world, edge) = (World::new(), Edge::new());
    for (path, name) in [
        ("/with%20space.bin", "with space.bin"),
        ("/%C3%BCn%C3%AFc%C3%B6de-%E2%98%83.bin", "ünïcöde-☃.bin"),
        ("/dir%2Fescaped.bin", "escaped.bin"),
        ("/%2e%2e%2fup.bin", "up.bin"),
        ("/..%5C..%5Cevil.bin", "evil.bin"),
        ("/.hidden", "hidden"),
        ("/query?x=/../y", "query"),
    ] {
        edge.put(path.split('?').next().unwrap(), File::new(path.as_bytes()));
        world.get([&edge.url(path), "-o", "got/"]).fine();
        assert_eq!(
            world.read(&format!("got/{name}")),
            path.as_bytes(),
            "{path}"
        );
    }
    assert_eq!(world.list(""), ["got"]);
}

#[test]
fn a_url_without_a_name_needs_one() {
    let (world, edge) = (World::new(), Edge::new());
    edge.put("/", File::new(b"index"));
    world
        .get([edge.url("/")])
        .failed(2, &["names no file", "-o"]);
    world.get([&edge.url("/"), "-o", "index.html"]).fine();
    assert_eq!(world.read("index.html"), b"index");
}

#[test]
fn a_name_too_long_for_the_disk_is_cut() {
    let (world, edge) = (World::new(), Edge::new());
    // Two bytes a letter, six in the URL: a cut at any byte would fall into the middle of one.
    let path = format!("/x{}.bin", "%C3%BC".repeat(200));
    edge.put(&path, File::new(b"long"));
    world.get([edge.url(&path)]).fine();
    let names = world.list("");
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(
        names[0].starts_with("xü") && names[0].len() <= 255,
        "{names:?}"
    );
    assert_eq!(world.read(&names[0]), b"long");
}

#[test]
fn the_server_may_name_a_file_but_not_a_place() {
    let (world, edge) = (World::new(), Edge::new());
    for (disposition, name) in [
        ("attachment; filename=\"report.pdf\"", "report.pdf"),
        ("attachment; filename=\"../../report.sh\"", "report.sh"),
        (
            "attachment; filename=\"x\"; filename*=UTF-8''na%C3%AFve.pdf",
            "naïve.pdf",
        ),
        ("attachment; filename=\"..\"", "download"),
    ] {
        let header = format!("Content-Disposition: {disposition}");
        edge.put("/download", File::new(b"pdf").header(&header));
        world.get([&edge.url("/download"), "-o", "got/"]).fine();
        assert_eq!(world.read(&format!("got/{name}")), b"pdf", "{disposition}");
    }
    assert_eq!(world.list(""), ["got"]);
}

#[test]
fn published_names_with_spaces_and_unicode_arrive() {
    let world = World::new();
    let names = [
        "a b.bin",
        "ünïcöde ☃.bin",
        "100%.bin",
        "what?.bin",
        "a#b.bin",
        "a+b&c=d.bin",
    ];
    for name in names {
        world.write(&format!("published/{name}"), name.as_bytes());
    }
    let serving = Serving::folder(&world, "published", &[]);
    for (name, path) in names.iter().zip([
        "/a%20b.bin",
        "/%C3%BCn%C3%AFc%C3%B6de%20%E2%98%83.bin",
        "/100%25.bin",
        "/what%3F.bin",
        "/a%23b.bin",
        "/a+b&c=d.bin",
    ]) {
        world.get([&serving.url(path), "-o", "got/"]).fine();
        assert_eq!(world.read(&format!("got/{name}")), name.as_bytes());
    }
}

#[test]
fn a_name_is_not_an_option_or_an_escape_sequence() {
    let (world, edge) = (World::new(), Edge::new());
    edge.put("/a%1B%5B31m%0Ab", File::new(b"red"));
    let ended = world
        .run(["get", &edge.url("/a%1B%5B31m%0Ab"), "-o", "got/"])
        .fine();
    assert_eq!(world.list("got"), ["a[31mb"]);
    assert!(!ended.stderr.contains('\u{1b}'), "{:?}", ended.stderr);
    edge.remove("/a%1B%5B31m%0Ab");
    let ended = world.get([edge.url("/a%1B%5B31m%0Ab")]).failed(3, &["404"]);
    assert!(!ended.stderr.contains('\u{1b}'), "{:?}", ended.stderr);
}

/// Downloads a file of zeros with a few marks through a real server and looks for the marks.
fn sparse(size: u64) {
    let world = World::new();
    let path = world.write("published/huge", b"");
    let mut file = DiskFile::create(&path).unwrap();
    file.set_len(size).unwrap();
    let marks = [
        0,
        (1 << 31) - 3,
        (1 << 32) - 3,
        (1 << 32) + 123_456,
        size - 5,
    ];
    for at in marks {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(b"mark!").unwrap();
    }
    let long = Duration::from_secs(1800);
    let mut publish = world.command(["publish", "--quiet", "--no-sha256", "published"]);
    Running::start_for(&mut publish, long).wait().fine();
    let serving = Serving::folder_for(&world, "published", &[], long);
    let mut get = world.command(["get", "--quiet", &serving.url("/huge")]);
    Running::start_for(&mut get, long).wait().fine();
    let mut got = DiskFile::open(world.path("huge")).unwrap();
    assert_eq!(got.metadata().unwrap().len(), size);
    for at in marks {
        let mut mark = [0; 5];
        got.seek(SeekFrom::Start(at)).unwrap();
        got.read_exact(&mut mark).unwrap();
        assert_eq!(&mark, b"mark!", "at {at}");
    }
}

#[test]
#[ignore = "writes 5 GiB and takes a minute"]
fn offsets_beyond_four_gibibytes_are_right() {
    sparse(5 * (1 << 30) + 7);
}

#[test]
#[ignore = "writes 20 GiB and takes minutes"]
fn twenty_gibibytes_arrive() {
    sparse(20 * (1 << 30));
}
