"""Limits through Envoy, with two workers: however they are set, they hold over both."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.e2e.principals import Principals
from tests.e2e.rest import CHAT, ENDPOINTS, Json, Rest, endpoint, entity
from tests.e2e.system import System, wait_for
from tests.emulators.openai import Fault, OpenAiEmulator

ROBOT = "5e1f0000-0000-4000-8000-00000000c0de"
_NAMES = (f"limited-{number}" for number in count())


# The system's clock is this machine's, read a moment before or after.
_CLOCKS_APART = 0.1


def minutes() -> set[int]:
    """Return the minute; both of them where one ends and the next begins."""
    now = time.time_ns() / 1e9
    return {int(moment // 60) for moment in (now - _CLOCKS_APART, now + _CLOCKS_APART)}


def seconds_left() -> float:
    return 60 - time.time_ns() / 1e9 % 60


def in_one_window(check: Callable[[str], None]) -> None:
    """Run a check on a new endpoint's name, again if the minute ended meanwhile."""
    while True:
        before, failure = minutes(), None
        try:
            check(next(_NAMES))
        # A client that raises, or is expected to and does not, may have met two minutes, too.
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - raised again
            failure = error
        if len(before | minutes()) == 1:
            if failure is not None:
                raise failure
            return


def statuses(rest: Rest, name: str, calls: int) -> list[int]:
    """Return the statuses of concurrent queries, sorted."""
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda _: rest.query(name, CHAT), range(calls))
        return sorted(answer.status_code for answer in answers)


def limit(**fields: object) -> Json:
    return {"renewal_period": "minute", **fields}


@pytest.mark.parametrize("way", ["creation", "rate-limits", "ai-gateway"])
def test_a_limit_holds_over_both_workers(rest: Rest, provider: OpenAiEmulator, way: str) -> None:
    def check(name: str) -> None:
        limits = {"rate_limits": [limit(calls=7)]}
        rest.create(endpoint(name, entity(provider), **(limits if way == "creation" else {})))
        if way != "creation":
            rest.call("PUT", f"{ENDPOINTS}/{name}/{way}", limits)
        assert statuses(rest, name, 12) == [200] * 7 + [429] * 5
        # A change holds at once: blocked, and then free.
        setting = "ai-gateway" if way == "ai-gateway" else "rate-limits"
        rest.call("PUT", f"{ENDPOINTS}/{name}/{setting}", {"rate_limits": [limit(calls=0)]})
        assert statuses(rest, name, 3) == [429] * 3
        rest.call("PUT", f"{ENDPOINTS}/{name}/{setting}", {"rate_limits": []})
        assert statuses(rest, name, 3) == [200] * 3

    in_one_window(check)


def test_what_is_taken_of_a_limit_and_what_it_refused_is_told(
    rest: Rest, provider: OpenAiEmulator
) -> None:
    def check(name: str) -> None:
        rest.create(endpoint(name, entity(provider), rate_limits=[limit(calls=3)]))
        assert statuses(rest, name, 5) == [200] * 3 + [429] * 2
        told = rest.call("GET", f"{ENDPOINTS}/{name}/limits")
        assert told["window_end_time"] in {60_000 * (one + 1) for one in minutes()}
        [taken] = told["limits"]
        assert (taken["key"], taken["unit"], taken["granted"]) == ("endpoint", "CALLS", 3)
        # Of both workers together.
        labels = f'endpoint_name="{name}",key="endpoint",principal="",unit="requests"'
        line = f"modelplane_endpoint_limit_refusals_total{{{labels}}} 2.0"
        wait_for(lambda: line in rest.send("GET", f"{ENDPOINTS}/{name}/metrics").text)

    in_one_window(check)


def test_a_refusal_says_what_and_how_long(rest: Rest, provider: OpenAiEmulator) -> None:
    def check(name: str) -> None:
        rest.create(endpoint(name, entity(provider), rate_limits=[limit(calls=1)]))
        assert rest.query(name, CHAT).status_code == 200
        refused = rest.query(name, CHAT)
        assert refused.status_code == 429
        body = refused.json()
        assert body["error_code"] == "REQUEST_LIMIT_EXCEEDED"
        assert body["message"].startswith(
            f"User defined rate limit(s) exceeded for '{name}'. Requests-per-minute (RPM) rate "
            "limit exceeded for endpoint"
        )
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"

    in_one_window(check)


def test_headers_as_the_openai_client_reads_them(
    system: System, rest: Rest, provider: OpenAiEmulator
) -> None:
    def check(name: str) -> None:
        gateway = {"rate_limits": [limit(calls=2, tokens=5_000)]}
        rest.create(endpoint(name, entity(provider), ai_gateway=gateway))
        base = f"{system.url}/serving-endpoints"
        with OpenAI(api_key=system.token, base_url=base, max_retries=0) as client:
            for left in ("1", "0"):
                raw = client.chat.completions.with_raw_response.create(
                    model=name, messages=CHAT["messages"], max_tokens=90
                )
                assert raw.headers["x-ratelimit-limit-requests"] == "2"
                assert raw.headers["x-ratelimit-remaining-requests"] == left
                assert raw.headers["x-ratelimit-limit-tokens"] == "5000"
                assert 4_000 < int(raw.headers["x-ratelimit-remaining-tokens"]) < 5_000
                for unit in ("requests", "tokens"):
                    reset = raw.headers[f"x-ratelimit-reset-{unit}"]
                    assert reset.endswith("s")
                    assert 1 <= int(reset[:-1]) <= 60
            with pytest.raises(openai.RateLimitError) as refused:
                client.chat.completions.create(model=name, messages=CHAT["messages"])
            assert 1 <= int(refused.value.response.headers["retry-after"]) <= 60

    in_one_window(check)


def test_limits_of_users_groups_and_service_principals(
    system: System, rest: Rest, provider: OpenAiEmulator
) -> None:
    with Principals(system) as principals:
        tokens = {
            "ann": principals.add_user("ann@limits.test"),
            "bob": principals.add_user("bob@limits.test"),
            "eve": principals.add_user("eve@limits.test", ["limited-team"]),
            "joe": principals.add_user("joe@limits.test", ["limited-team"]),
            "robot": principals.add_robot(ROBOT, ["limited-team"]),
        }
        callers = {name: Rest(system, token) for name, token in tokens.items()}

        def check(name: str) -> None:
            limits = [
                limit(key="user", calls=2),
                limit(key="user", principal="bob@limits.test", calls=4),
                limit(key="user_group", principal="limited-team", calls=3),
                limit(key="service_principal", principal=ROBOT, calls=1),
            ]
            rest.create(endpoint(name, entity(provider), ai_gateway={"rate_limits": limits}))
            endpoint_id = rest.call("GET", f"{ENDPOINTS}/{name}")["id"]
            grants = [{"group_name": "users", "permission_level": "CAN_QUERY"}]
            rest.call(
                "PUT",
                f"/api/2.0/permissions/serving-endpoints/{endpoint_id}",
                {"access_control_list": grants},
            )
            admitted = {
                who: statuses(caller, name, 5).count(200)
                for who, caller in callers.items()
                if who != "joe"
            }
            assert admitted == {"ann": 2, "bob": 4, "eve": 3, "robot": 1}
            # The team shares one counter.
            refused = callers["joe"].query(name, CHAT)
            assert refused.status_code == 429
            assert "exceeded for user_group" in refused.json()["message"]

        in_one_window(check)
        for caller in callers.values():
            caller.__exit__()


def test_a_stream_that_uses_up_the_tokens_ends_with_its_reason(
    system: System, rest: Rest, provider: OpenAiEmulator
) -> None:
    def check(name: str) -> None:
        gateway = {"rate_limits": [limit(tokens=100)]}
        rest.create(endpoint(name, entity(provider), ai_gateway=gateway))
        provider.faults.put("gpt-4", Fault("trickle", times=1))
        words = " ".join(["word"] * 60)
        prompt: Any = [{"role": "user", "content": words}]
        base = f"{system.url}/serving-endpoints"
        with OpenAI(api_key=system.token, base_url=base, max_retries=0) as client:
            chunks: list[Any] = list(
                client.chat.completions.create(model=name, messages=prompt, stream=True)
            )
        last = chunks[-1]
        assert last.choices[0].finish_reason == "length"
        assert last.modelplane_reason.startswith("token limit")
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert 0 < len(text) / 4 <= 30
        # What the stream was not granted before it needed it is enough for one query at most.
        following = [rest.query(name, CHAT).status_code for _ in range(2)]
        assert following[-1] == 429, following

    in_one_window(check)


@pytest.mark.parametrize("bound", [{}, {"max_tokens": 4_000}], ids=["unbound", "bound"])
def test_tokens_can_be_used_up(rest: Rest, provider: OpenAiEmulator, bound: Json) -> None:
    rest.create(endpoint("unlimited-tokens", entity(provider)))
    answer = rest.query("unlimited-tokens", {**CHAT, **bound})
    tokens = answer.json()["usage"]["total_tokens"]
    rest.call("DELETE", f"{ENDPOINTS}/unlimited-tokens")

    def check(name: str) -> None:
        gateway = {"rate_limits": [limit(tokens=tokens * 30)]}
        rest.create(endpoint(name, entity(provider), ai_gateway=gateway))
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: rest.query(name, {**CHAT, **bound}), range(60)))
        admitted = [item.status_code for item in answers].count(200)
        assert admitted >= 27
        # Until there is nothing more to come in this minute; the caller is told so.
        before = seconds_left()
        while (last := rest.query(name, CHAT)).status_code == 200:
            admitted += 1
        assert last.status_code == 429
        assert admitted <= 30
        assert seconds_left() - 1 <= int(last.headers["Retry-After"]) <= before + 1

    in_one_window(check)
