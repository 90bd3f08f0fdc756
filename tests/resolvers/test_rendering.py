"""What of an error a client sees, and what stays in the log."""

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import GraphQLError
from structlog.testing import capture_logs

import errors
from engine import Executed, InputFault, Reason, Refused
from resolvers import rendering


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    with capture_logs() as events:
        yield events


def located(cause: Exception) -> GraphQLError:
    return GraphQLError(str(cause), path=["me"], original_error=cause)


def test_an_app_error_is_shown_with_its_details() -> None:
    error = errors.BadUserInput("Twice.", (errors.Fault("input.name", "is empty"), errors.Fault("input.age", "is low")))
    assert rendering.render_executed(Executed(None, [located(error)]), "r-1") == [
        {
            "message": "Twice.",
            "path": ["me"],
            "extensions": {
                "code": "BAD_USER_INPUT",
                "fields": [
                    {"path": "input.name", "message": "is empty"},
                    {"path": "input.age", "message": "is low"},
                ],
            },
        }
    ]


def test_an_app_error_is_found_behind_what_was_raised_from_it() -> None:
    wrapped = RuntimeError("outer")
    wrapped.__cause__ = errors.Forbidden("No.")
    (rendered,) = rendering.render_executed(Executed(None, [located(wrapped)]), "r-1")
    assert (rendered["message"], rendered["extensions"]) == ("No.", {"code": "FORBIDDEN"})


def test_an_app_error_that_was_being_handled_hides_nothing() -> None:
    """What goes wrong while a refusal is handled is a fault of ours, not that refusal."""
    bug = RuntimeError("bug")
    bug.__context__ = errors.Forbidden("No.")
    (rendered,) = rendering.render_executed(Executed(None, [located(bug)]), "r-1")
    assert rendered["extensions"] == {"code": "INTERNAL_SERVER_ERROR"}


def test_an_unknown_error_is_masked_and_logged_whole(logged: list[Any]) -> None:
    secret = ValueError("SELECT password FROM users")
    (rendered,) = rendering.render_executed(Executed(None, [located(secret)]), "r-42")
    assert "SELECT" not in str(rendered)
    assert "r-42" in rendered["message"]
    assert rendered["path"] == ["me"]
    assert logged[0]["exc_info"] is secret


def test_an_error_of_the_server_that_may_be_shown_is_logged_too(logged: list[Any]) -> None:
    (rendered,) = rendering.render_executed(Executed(None, [located(errors.ServiceUnavailable("Later."))]), "r-1")
    assert rendered["extensions"]["code"] == "SERVICE_UNAVAILABLE"
    assert len(logged) == 1


def test_an_ordinary_refusal_is_not_logged(logged: list[Any]) -> None:
    rendering.render_executed(Executed(None, [located(errors.NotFound("No."))]), "r-1")
    assert logged == []


def test_a_thousand_failures_of_one_request_do_not_flood_the_log(logged: list[Any]) -> None:
    rendered = rendering.render_executed(Executed(None, [located(ValueError("x"))] * 1_000), "r-1")
    assert len(rendered) == 1_000
    assert len(logged) < 20
    assert logged[-1]["more"] == 990


def test_causes_in_a_circle_end() -> None:
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one
    (rendered,) = rendering.render_executed(Executed(None, [located(one)]), "r-1")
    assert rendered["extensions"]["code"] == "INTERNAL_SERVER_ERROR"


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.PARSE, "GRAPHQL_PARSE_FAILED"),
        (Reason.VALIDATION, "GRAPHQL_VALIDATION_FAILED"),
        (Reason.COMPLEXITY, "QUERY_TOO_COMPLEX"),
        (Reason.OPERATION, "BAD_USER_INPUT"),
        (Reason.OPERATION_TYPE, "BAD_USER_INPUT"),
        (Reason.INPUT, "BAD_USER_INPUT"),
    ],
)
def test_every_reason_has_a_code_and_long_messages_are_cut(reason: Reason, code: str) -> None:
    faults = (InputFault("input", "secret" * 1_000),) if reason is Reason.INPUT else ()
    (rendered,) = rendering.render_refused(Refused(reason, [GraphQLError("secret" * 1_000)], faults))
    assert rendered["extensions"]["code"] == code
    assert len(str(rendered)) < 1_500


def test_every_kind_of_reason_is_rendered() -> None:
    assert set(rendering._CODES) == set(Reason)


def test_all_faults_of_the_input_are_one_error() -> None:
    faults = tuple(InputFault(f"input.f{number}", "is wrong") for number in range(7))
    (rendered,) = rendering.render_refused(Refused(Reason.INPUT, [GraphQLError("x")] * 7, faults))
    assert [field["path"] for field in rendered["extensions"]["fields"]] == [fault.path for fault in faults]
    assert rendered["message"].startswith("input.f0: is wrong; input.f1")


def test_what_refuses_a_whole_request_is_logged_where_something_lies_behind_it(logged: list[Any]) -> None:
    refusal = errors.InvalidCredential("Expired.")
    assert rendering.mask(refusal, "r-1") is refusal
    assert logged == []
    unavailable = errors.ServiceUnavailable("Later.")
    unavailable.__cause__ = OSError("10.0.0.7 refused")
    assert rendering.mask(unavailable, "r-1") is unavailable
    assert isinstance(rendering.mask(ValueError("SELECT 1"), "r-1"), errors.InternalError)
    assert [event["event"] for event in logged] == ["request.unavailable", "request.failed"]
    assert "10.0.0.7 refused" in logged[0]["cause"]
    assert isinstance(logged[1]["exc_info"], ValueError)


def test_the_longest_wait_counts() -> None:
    limited = [located(errors.RateLimited("Slow down.", wait)) for wait in (3, 60, 5)]
    rendered = rendering.render_executed(Executed(None, [located(errors.NotFound("No.")), *limited]), "r-1")
    assert rendering.retry_after(rendered) == 60
    assert rendering.retry_after(rendered[:1]) is None
