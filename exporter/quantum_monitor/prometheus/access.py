"""Who may read the metrics: TLS, client certificates, basic authentication."""

from __future__ import annotations

import base64
import hmac
import ssl
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path


@dataclass(frozen=True)
class Tls:
    """Certificate files of an HTTPS endpoint. TLS 1.2 and 1.3 are spoken.

    Attributes:
        cert_file: PEM file with the server's certificate and its chain.
        key_file: PEM file with its private key, without a passphrase; None if it stands in the certificate file.
        client_ca_file: PEM file with the authorities that sign client certificates. When given, a client without
            such a certificate is turned away during the handshake (mutual TLS).
    """

    cert_file: str | Path
    key_file: str | Path | None = None
    client_ca_file: str | Path | None = None

    def context(self) -> ssl.SSLContext:
        """Load the files.

        Raises:
            ValueError: a file is missing, unreadable or not what it should be; names the field, the file and the mend.
        """
        for name in ("cert_file", "key_file", "client_ca_file"):
            file = getattr(self, name)
            if file is not None and not Path(file).is_file():
                raise ValueError(f"tls_{name}: no such file: {str(file)!r}; give the path of a readable PEM file")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # Without a password callback OpenSSL would ask on the terminal and hold up the training script.
            context.load_cert_chain(self.cert_file, self.key_file, password=lambda: "")
        except OSError as error:
            key = "the key in it" if self.key_file is None else repr(str(self.key_file))
            raise ValueError(
                f"tls_cert_file, tls_key_file: cannot use {str(self.cert_file)!r} with {key}: {error};"
                " give a PEM certificate and the unencrypted key that belongs to it, both readable"
            ) from error
        if self.client_ca_file is not None:
            try:
                context.load_verify_locations(self.client_ca_file)
            except OSError as error:
                raise ValueError(
                    f"tls_client_ca_file: cannot use {str(self.client_ca_file)!r}: {error};"
                    " give a readable PEM file of authorities"
                ) from error
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@dataclass(frozen=True)
class BasicAuth:
    """The user and password that ``/metrics`` and the index page ask for.

    Raises:
        ValueError: an empty user or password, or a colon in the user, which HTTP cannot carry.
    """

    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.user or ":" in self.user:
            raise ValueError(f"basic_auth_user: {self.user!r} cannot be used; give a name that has no colon")
        if not self.password:
            raise ValueError("basic_auth_password: is empty; give a password, or no user to ask for none")

    def admits(self, authorization: str) -> bool:
        """Tell whether the ``Authorization`` header of a request carries this user and password."""
        scheme, _, credentials = authorization.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            given = base64.b64decode(credentials.strip(), validate=True)
        except ValueError:
            return False
        expected = f"{self.user}:{self.password}".encode()
        # Digests have one length, so the time tells neither the length nor the first wrong letter.
        return hmac.compare_digest(sha256(given).digest(), sha256(expected).digest())
