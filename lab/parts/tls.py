"""Certificates that nobody believes but who is told to."""


def certificate(stage, host, *addresses):
    """Makes one that is good for these addresses; gives its file and its key's."""
    certificate, key = stage.folder / "certificate.pem", stage.folder / "key.pem"
    names = ",".join(f"IP:{address}" for address in addresses)
    stage.command(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                   "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", certificate,
                   "-days", 2, "-subj", "/CN=lab", "-addext", f"subjectAltName={names}",
                   "-addext", "basicConstraints=critical,CA:false"], "openssl", host)
    return certificate, key


def trusting(certificate):
    """The environment of a program that believes it."""
    return {"SSL_CERT_FILE": str(certificate)}
