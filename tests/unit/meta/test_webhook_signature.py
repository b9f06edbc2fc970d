"""A webhook is Meta's when its signature is."""

import pytest

from gatekeeper.meta.signature import sign, verify

SECRET = "app secret"
BODY = b'{"object":"whatsapp_business_account"}'
SIGNATURE = sign(SECRET, BODY)


def test_a_signature_is_the_hmac_of_the_raw_bytes():
    """The digest was made with `openssl dgst -sha256 -hmac`."""
    assert sign("key", b"The quick brown fox jumps over the lazy dog") == (
        "sha256=f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    )


def test_a_signature_verifies_what_it_signed():
    """The header is compared as a whole."""
    assert verify(SECRET, BODY, SIGNATURE)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "sha256=",
        SIGNATURE.removeprefix("sha256="),
        SIGNATURE[:-1],
        SIGNATURE + "0",
        SIGNATURE.upper(),
        SIGNATURE.replace("sha256", "sha1"),
        f" {SIGNATURE}",
        "sha256=" + "é" * 64,
        "sha256=\udcff",
        sign("another secret", BODY),
        sign(SECRET, BODY + b" "),
    ],
)
def test_any_other_header_is_refused(header):
    """A header that is missing, cut, foreign or no ASCII is wrong and never a fault."""
    assert not verify(SECRET, BODY, header)


def test_a_secret_may_hold_any_byte():
    """The environment hands over what is no UTF-8 as it is."""
    assert verify("key\udcff", BODY, sign("key\udcff", BODY))


def test_an_empty_secret_verifies_nothing():
    """Anyone can sign with it."""
    assert not verify("", BODY, sign("", BODY))
