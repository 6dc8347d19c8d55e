"""Foreign parts over loopback: other servers for our client, other clients for our edge."""
import base64
import email
import json

from parts import content, nginx, peerlift, tls
from parts.content import MEBIBYTE, sha256
from registry import scenario
from world.here import Here, free_port

# Nine groups of one MiB and a part: aria2 cuts it, and no border of ours falls on its end.
SIZE = 9 * MEBIBYTE + 12_345


def here(function):
    """A scenario over loopback."""
    return scenario("foreign", needs_root=False)(function)


def our_edge(stage, *options, **more):
    """`peerlift serve` with one published file. Gives the URL of the file, and the file."""
    film = content.make(stage.folder / "origin", SIZE)
    server = peerlift.serve(stage, Here, film.path.parent, *options, port=free_port(),
                            wait_for=film.name, **more)
    return f"{server.url}/{film.name}", film


def curl(stage, *words, name="curl"):
    """Runs curl, which must be content; gives what it printed."""
    return stage.command(["curl", "-sS", "--fail", "--max-time", 60, *words], name, Here)


def heads(stage, url, *words, name="head"):
    """Status and header fields, in lower case, of an answer without its body."""
    dump = stage.folder / f"{name}.headers"
    stage.command(["curl", "-sS", "--max-time", 60, "-o", "/dev/null", "-D", dump, *words, url],
                  name, Here)
    status, *fields = dump.read_text().strip().splitlines()
    pairs = (field.split(":", 1) for field in fields if ":" in field)
    return int(status.split()[1]), {key.lower(): value.strip() for key, value in pairs}


# -- other servers

@here
def nginx_with_sidecars_is_an_edge(stage):
    film = content.make(stage.folder / "made", SIZE)
    peerlift.publish(stage, Here, film.path)
    copied = stage.folder / "copied"
    copied.mkdir()
    copied.chmod(0o755)
    for name in (film.name, f"{film.name}.peerlift", f"{film.name}.obao"):
        (copied / name).write_bytes((film.path.parent / name).read_bytes())
    server, url = nginx.serve(stage, Here, copied, free_port())
    report = peerlift.Download(stage, Here, f"{url}/{film.name}", content=film).wait_end()
    stage.equal(report["from_edge"], film.size, "bytes from the edge")
    log = (stage.folder / "nginx" / "access.log").read_text()
    stage.check('"GET /film.mkv.peerlift' in log, "the manifest was not asked for")
    stage.check(" 206 " in log, "no range was asked for")


@here
def nginx_without_sidecars_is_a_fine_server(stage):
    film = content.make(stage.folder / "plain", SIZE)
    server, url = nginx.serve(stage, Here, film.path.parent, free_port())
    download = peerlift.Download(stage, Here, f"{url}/{film.name}", content=film)
    report = download.wait_end(verified="length")
    stage.equal(report["from_edge"], film.size, "bytes from the server")


# -- other clients

@here
def curl_fetches_the_same_bytes(stage):
    url, film = our_edge(stage)
    for version in ("--http1.1", "--http2-prior-knowledge"):
        out = stage.folder / f"out{version}"
        spoken = curl(stage, version, "-o", out, "-w", "%{http_version}", url, name=f"curl{version}")
        stage.equal(sha256(out), film.sha256, "SHA-256")
        stage.equal(spoken, "2" if "http2" in version else "1.1", "HTTP version")


@here
def curl_and_we_fetch_over_tls(stage):
    certificate, key = tls.certificate(stage, Here, Here.address)
    url, film = our_edge(stage, "--tls-cert", certificate, "--tls-key", key, tls=certificate)
    stage.check(url.startswith("https://"), url)
    out = stage.folder / "out"
    spoken = curl(stage, "--cacert", certificate, "-o", out, "-w", "%{http_version}", url)
    stage.equal(sha256(out), film.sha256, "SHA-256")
    stage.equal(spoken, "2", "HTTP version")
    peerlift.Download(stage, Here, url, content=film, env=tls.trusting(certificate)).wait_end()


@here
def curl_resumes_where_it_was_cut(stage):
    url, film = our_edge(stage)
    out = stage.folder / "out"
    out.write_bytes(film.path.read_bytes()[:SIZE // 3])
    moved = curl(stage, "-C", "-", "-o", out, "-w", "%{size_download}", url)
    stage.equal(sha256(out), film.sha256, "SHA-256")
    stage.equal(int(moved), SIZE - SIZE // 3, "bytes fetched")


@here
def curl_gets_the_ranges_it_asks_for(stage):
    url, film = our_edge(stage)
    data = film.path.read_bytes()
    wanted = {"0-0": data[:1], "16383-16384": data[16383:16385], "-100": data[-100:],
              f"{SIZE - 7}-": data[-7:], f"100-{SIZE * 2}": data[100:]}
    for spec, expected in wanted.items():
        out = stage.folder / "out"
        curl(stage, "-r", spec, "-o", out, url)
        stage.check(out.read_bytes() == expected, f"range {spec}: other bytes")


@here
def curl_gets_several_ranges_in_one_answer(stage):
    url, film = our_edge(stage)
    data, out, dump = film.path.read_bytes(), stage.folder / "out", stage.folder / "headers"
    curl(stage, "-r", "0-9,100000-100009,-5", "-o", out, "-D", dump, url)
    fields = dump.read_text().split("\n", 1)[1].encode()
    message = email.message_from_bytes(fields.strip() + b"\n\n" + out.read_bytes())
    stage.equal(message.get_content_type(), "multipart/byteranges", "type")
    parts = [part.get_payload(decode=True) for part in message.get_payload()]
    stage.check(parts == [data[:10], data[100000:100010], data[-5:]], f"parts: {parts}")
    stage.equal([part["Content-Range"] for part in message.get_payload()],
                [f"bytes 0-9/{SIZE}", f"bytes 100000-100009/{SIZE}",
                 f"bytes {SIZE - 5}-{SIZE - 1}/{SIZE}"], "Content-Range")


@here
def curl_learns_everything_from_a_head(stage):
    url, film = our_edge(stage)
    status, fields = heads(stage, url, "-I")
    manifest = json.loads(base64.urlsafe_b64decode(
        json.loads(curl(stage, f"{url}.peerlift"))["payload"] + "=="))
    digest = base64.b64encode(bytes.fromhex(film.sha256)).decode()
    stage.equal(status, 200, "status")
    stage.equal(fields["content-length"], str(SIZE), "Content-Length")
    stage.equal(fields["accept-ranges"], "bytes", "Accept-Ranges")
    stage.equal(fields["etag"], f'"{manifest["root"]}"', "ETag")
    stage.check(f"sha-256=:{digest}:" in fields["repr-digest"], fields["repr-digest"])
    stage.check('rel="peerlift-manifest"' in fields["link"], fields["link"])
    stage.check(fields["content-type"].startswith("video/"), fields["content-type"])
    stage.check("last-modified" in fields, "no Last-Modified")


@here
def curl_is_told_what_has_not_changed(stage):
    url, film = our_edge(stage)
    _, known = heads(stage, url, "-I")
    etag, date = known["etag"], known["last-modified"]
    range_ = ["-H", "Range: bytes=0-9"]
    for number, (status, *words) in enumerate([
            (304, "-H", f"If-None-Match: {etag}"),
            (200, "-H", 'If-None-Match: "other"'),
            (304, "-H", f"If-Modified-Since: {date}"),
            (206, *range_, "-H", f"If-Range: {etag}"),
            (200, *range_, "-H", 'If-Range: "other"'),
            (412, "-H", 'If-Match: "other"'),
            (206, *range_, "-H", f"If-Match: {etag}"),
            (416, "-H", f"Range: bytes={SIZE}-")]):
        got, fields = heads(stage, url, *words, name=f"head{number}")
        stage.equal(got, status, f"status for {words}")
        if status == 416:
            stage.equal(fields["content-range"], f"bytes */{SIZE}", "Content-Range")


@here
def aria2_fetches_over_eight_connections(stage):
    url, film = our_edge(stage)
    folder = stage.folder / "aria2"
    stage.command(["aria2c", "--no-conf", "-x8", "-s8", "-k1M", "--file-allocation=none",
                   f"--checksum=sha-256={film.sha256}", "-d", folder, url], "aria2c", Here)
    stage.equal(sha256(folder / film.name), film.sha256, "SHA-256")


@here
def aria2_resumes_what_it_had_begun(stage):
    url, film = our_edge(stage)
    folder = stage.folder / "aria2"
    folder.mkdir()
    (folder / film.name).write_bytes(film.path.read_bytes()[:SIZE // 2])
    stage.command(["aria2c", "--no-conf", "-c", "-x4", "-d", folder, url], "aria2c", Here)
    stage.equal(sha256(folder / film.name), film.sha256, "SHA-256")
