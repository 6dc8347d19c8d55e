"""nginx: the HTTP server that most publishers have already."""
from world.waiting import until

PORT = 8080
START_SECONDS = 10


def serve(stage, host, folder, port=PORT):
    """Starts nginx on the folder; gives the program and its URL."""
    address = host.address if host else "127.0.0.1"
    own = stage.folder / "nginx"
    own.mkdir(exist_ok=True)
    own.chmod(0o777)  # its worker has another user when root starts it
    configuration = own / "nginx.conf"
    configuration.write_text(f"""
        daemon off; pid {own}/pid; error_log stderr;
        events {{ worker_connections 1024; }}
        http {{
            access_log {own}/access.log;
            types {{ video/x-matroska mkv; }}
            default_type application/octet-stream;
            sendfile on; tcp_nopush on;
            client_body_temp_path {own}/body; proxy_temp_path {own}/proxy;
            fastcgi_temp_path {own}/fastcgi; uwsgi_temp_path {own}/uwsgi;
            scgi_temp_path {own}/scgi;
            server {{ listen {address}:{port}; root {folder}; }}
        }}""")
    nginx = stage.start(["/usr/sbin/nginx", "-e", "stderr", "-c", configuration], "nginx", host)
    pid = own / "pid"
    until(lambda: nginx.code is not None or (pid.exists() and pid.read_text().strip()),
          "nginx's pid file", START_SECONDS)
    stage.check(nginx.code is None, f"nginx ended: {nginx.last_words()}")
    return nginx, f"http://{address}:{port}"
