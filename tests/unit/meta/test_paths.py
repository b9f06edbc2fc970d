"""Which requests are sends, in whatever spelling a server on the way may read them."""

import time

import pytest

from gatekeeper.meta.paths import Target, gated, is_root, may_lead_to, may_post, names_edge, shown

NUMBER = "106540352242922"
SEND, MARKETING = Target(NUMBER, marketing_api=False), Target(NUMBER, marketing_api=True)


@pytest.mark.parametrize(
    "path",
    [
        f"/{NUMBER}/messages",
        f"/v23.0/{NUMBER}/messages",
        f"/a/prefix/v23.0/{NUMBER}/messages",
        f"/v23.0/{NUMBER}/messages/",
        f"/v23.0/{NUMBER}/messages//",
        f"//host/v23.0/{NUMBER}/messages",
        f"///v23.0//{NUMBER}//messages",
        f"/https://graph.facebook.com/v23.0/{NUMBER}/messages",
        f"/v23.0/{NUMBER}/Messages",
        f"/V23.0/{NUMBER}/MESSAGES",
        f"/v23.0/{NUMBER}/messages?to=1",
        f"/v23.0/{NUMBER}/messages#x",
        f"/v23.0/{NUMBER}/%6d%65ssages",
        f"/v23.0/%31{NUMBER[1:]}/messages",
        f"/v23.0%2F{NUMBER}%2fmessages",
        f"/v23.0/{NUMBER}/%256dessages",
        f"/v23.0/{NUMBER}%252Fmessages",
        f"/v23.0/{NUMBER}/%25256dessages",
        f"/v23.0/{NUMBER}/messages%3Fto=1",
        f"/v23.0/{NUMBER}/messages%23x",
        f"/v23.0/{NUMBER}/messages%00.jpg",
        f"/v23.0/{NUMBER}/messages%253Fto=1",
        f"/v23.0/{NUMBER}/messages;v=1",
        f"/v23.0/{NUMBER};v=1/messages;w=2",
        f"/v23.0/{NUMBER}/messages%3Bv=1",
        f"/v23.0/{NUMBER}/;/messages",
        f"/v23.0\\{NUMBER}\\messages",
        f"/v23.0/{NUMBER}%5Cmessages",
        f"/v23.0/{NUMBER}/x\\..\\messages",
        f"/v23.0/{NUMBER}/messages%20",
        f"/v23.0/%20{NUMBER}%09/messages",
        f"/v23.0/{NUMBER}/mess\tages",
        f"/v23.0/{NUMBER}/mess%0Aages",
        f"/./v23.0/{NUMBER}/./messages/.",
        f"/x/../v23.0/{NUMBER}/messages",
        f"/v23.0/{NUMBER}/media/../messages",
        f"/v23.0/{NUMBER}/media/%2e%2E/messages",
        f"/v23.0/{NUMBER}/media/..;x/messages",
        f"/v23.0/{NUMBER}//../messages",
        f"/../../v23.0/{NUMBER}/messages",
    ],
)
def test_no_spelling_hides_a_send(path):
    """What any server would read as the path of a send is one."""
    assert SEND == gated(path)


@pytest.mark.parametrize("path", [f"/v23.0/{NUMBER}/marketing_messages", f"/{NUMBER}/%6Darketing%5Fmessages"])
def test_the_marketing_api_is_told_apart(path):
    """The other endpoint has rules of its own."""
    assert MARKETING == gated(path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/messages",
        "/v23.0/messages",
        "/v23.0/me/messages",
        "/v23.0/abc/messages",
        f"/v23.0/{NUMBER}",
        f"/v23.0/{NUMBER}/media",
        f"/v23.0/{NUMBER}/messages/1",
        f"/v23.0/{NUMBER}/messages/../media",
        f"/v23.0/{NUMBER}/message_templates",
        f"/v23.0/{NUMBER}/xmessages",
        f"/v23.0/{NUMBER}/messages_history",
        f"/v23.0/{NUMBER}/mess/ages",
        f"/v23.0/x?path=/{NUMBER}/messages",
        f"/v23.0/x#/{NUMBER}/messages",
        f"/v23.0/{NUMBER}x/messages",
        "/v23.0/١٢٣/messages",
    ],
)
def test_no_other_path_is_a_send(path):
    """Whatever no server would read so is left alone."""
    assert gated(path) is None


def test_a_path_of_nothing_but_signs_holds_nobody_up():
    """Reading a path takes no longer than its length asks for."""
    began = time.perf_counter()
    found = [gated(sign * 2600 + f"/{NUMBER}/messages") for sign in ("%25", "../", "%2F", "//", ";/")]
    took = time.perf_counter() - began

    assert [SEND] * 5 == found
    assert took < 0.3


def spent(read, path):
    """The least CPU time that reading a path took."""
    took = []
    for _ in range(5):
        began = time.process_time()
        read(path)
        took.append(time.process_time() - began)
    return min(took)


@pytest.mark.parametrize(
    "read", [gated.__wrapped__, names_edge.__wrapped__, is_root, lambda path: may_lead_to(path, "/x/messages")]
)
@pytest.mark.parametrize("signs", [["a/", "../"], ["a/"], ["../"], ["%2e%2e/"], ["%25"], [";/"], ["\\"], ["//", ".."]])
def test_a_path_costs_what_its_length_asks_for(signs, read):
    """Four times as much of it costs about four times as much, whatever it goes up and down."""
    short, long = ("".join("/" + sign * n for sign in signs) + f"/{NUMBER}/messages" for n in (10_000, 40_000))
    ratio = spent(read, long) / max(spent(read, short), 1e-4)

    assert ratio < 10


@pytest.mark.parametrize(
    ("path", "found"),
    [
        *[(path, True) for path in ("/", "", "//", "/?batch=[]", "/v23.0", "/v23.0/", "/V9", "/my/prefix/v23.0/", "/v23.0/x/..")],
        *[(path, True) for path in ("/%76%32%33.0", "/.", "/;x", "/v23.0;x", "\\v23.0\\")],
        *[(path, False) for path in ("/me", "/v23.0/me", f"/v23.0/{NUMBER}", "/version", "/v23.0.1", "/v23.0/x?y=/v23.0")],
    ],
)
def test_the_root_is_where_no_object_is_named(path, found):
    """There batches are posted, with or without a version, under any prefix."""
    assert found == is_root(path)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        *[
            (path, True)
            for path in ("/messages", "/v23.0/me/Messages/", "/%6dessages", "/me/messages.json", "/x/marketing_messages:y")
        ],
        *[
            (path, False)
            for path in ("/messages/1", "/messages_history", "/messages2", "/xmessages", "/message_templates", "/a?b=/messages")
        ],
    ],
)
def test_an_edge_is_the_end_of_a_path(path, found):
    """It may be a send's when a parameter names the number."""
    assert found == names_edge(path)


@pytest.mark.parametrize(
    ("path", "place", "found"),
    [
        *[
            (path, "/webhook", True)
            for path in ("/webhook", "/Webhook", "/webhook/", "//webhook", "/%77ebhook", "/webhook;x", "/a/../webhook")
        ],
        *[(path, "/webhook", True) for path in ("/webhook?x=1", "\\webhook", "/webhook%3Fx", "/%2577ebhook", "/./webhook/.")],
        *[(path, "/webhook", False) for path in ("/", "/webhooks", "/x/webhook", "/webhook/x", "/?x=/webhook", "/web/hook")],
        *[(path, "/Hooks/Meta", True) for path in ("/hooks/meta", "/hooks//META/")],
        *[(path, "/", False) for path in ("/", "//", "/x")],
    ],
)
def test_a_path_may_be_taken_for_another(path, place, found):
    """As it may for a send's; nothing is taken for the root."""
    assert found == may_lead_to(path, place)


def test_what_is_shown_of_a_path_is_no_secret():
    """Neither a query nor a whole number, and not endlessly much."""
    found = [shown("/v23.0/+4915112345678/messages?access_token=x"), shown("/" + "a" * 1000)]

    assert ["/v23.0/+…/messages", 100] == [found[0], len(found[1])]


@pytest.mark.parametrize(
    ("method", "headers", "told", "found"),
    [
        ("POST", (), (), True),
        ("GET", (), (), False),
        ("PUT", (), (), False),
        ("GET", (), ("post",), True),
        ("GET", (), ("get", " Post "), True),
        ("GET", (), ("delete",), False),
        ("POST", (), ("get",), True),
        ("GET", (("X-HTTP-Method-Override", "POST"),), (), True),
        ("DELETE", (("x-http-method", "post"),), (), True),
        ("PATCH", (("X-Method-Override", "GET, POST"),), (), True),
        ("GET", (("X_HTTP_Method_Override", "POST"),), (), True),
        ("GET", (("X-Other", "POST"),), (), False),
        ("GET", (("X-HTTP-Method-Override", "PUT"),), (), False),
        ("POST", (("X-HTTP-Method-Override", "GET"),), (), True),
    ],
)
def test_a_method_may_be_told_in_many_ways(method, headers, told, found):
    """A request that says anywhere that it is a POST may be one, and a POST is one whatever else it says."""
    assert found == may_post(method, headers, told)
