"""A PostgreSQL's address: what the driver takes, what is shown of it, and what is refused before anybody can quote it."""

from nightfold import postgres
from nightfold.errors import BadPipeline

import pytest

NO_URI = (
    "connection 'shop_db' is no URI: write / ? # @ [ ] % and spaces in user, password and parameters as "
    "%2F %3F %23 %40 %5B %5D %25 %20, and its port in digits"
)
UNREAD = "the driver cannot read the address"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgres://shop:s3cret@h:5443/grocer", "postgres://h:5443/grocer"),
        ("postgresql://shop:s3%40%2F%25cret@h/grocer?sslmode=require", "postgresql://h/grocer?sslmode=require"),
        ("postgresql://shop:s3:cret@[::1]:5432/grocer", "postgresql://[::1]:5432/grocer"),
        ("postgresql://shop:s3cret@one:5432,two:5433/grocer", "postgresql://one:5432,two:5433/grocer"),
        ("postgresql://shop:s3cret@/grocer?host=/run/postgresql", "postgresql:///grocer?host=/run/postgresql"),
        ("postgresql://h/grocer?user=shop&password=s3&cret=1", "postgresql://h/grocer"),
        ("postgresql://h", "postgresql://h"),
    ],
)
def test_an_address_is_for_the_driver_and_shown_without_its_password(uri, shown):
    assert postgres.checked(uri, connection="shop_db") == uri.replace("postgres:", "postgresql:")
    assert postgres.shown(uri) == shown


@pytest.mark.parametrize(
    "uri",
    [
        *(f"postgresql://u:SEC{letter}RET@127.0.0.1:1/shop" for letter in "/?#@[] "),
        *(f"postgresql://u:12{letter}34@127.0.0.1:1/shop" for letter in "/?#"),
        "postgresql://u:50%zzSECRET@127.0.0.1:1/shop",
        "postgresql://u:SECRET%@127.0.0.1:1/shop",
        "postgresql://u:SECRET%00@127.0.0.1:1/shop",
        "postgresql://u:p@ssSECRET@127.0.0.1:1/shop",
        "postgresql://u:SECRET@127.0.0.1:port/shop",
        "postgresql://u:SECRET@one:1,two:port/shop",
        "postgresql://u:SECRET@[::1/shop",
        "postgresql://u:SECRET",
        "postgres:u:SECRET",
    ],
)
def test_an_address_that_is_no_uri_is_refused_with_the_mend_and_without_what_it_holds(uri):
    with pytest.raises(BadPipeline) as caught:
        postgres.checked(uri, connection="shop_db")
    assert str(caught.value) == NO_URI


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('IO: [libpq] Failed to connect: missing key/value separator "=" in URI query parameter: "SECRET"', UNREAD),
        ('IO: [libpq] Failed to connect: unexpected character "x" at position 9 in URI (expected ":" or "/"): "SECRET"', UNREAD),
        ('IO: [libpq] Failed to connect: invalid percent-encoded token: "SECRET"', UNREAD),
        ('[libpq] Failed to connect: FATAL:\n\tno "URI"', '[libpq] Failed to connect: FATAL: no "URI"'),
        ('relation "URI" does not exist', 'relation "URI" does not exist'),
    ],
)
def test_what_the_driver_says_of_an_address_is_not_repeated(said, words):
    assert postgres.words(OSError(said)) == words
