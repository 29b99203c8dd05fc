"""Every finish reason that a provider documents is read as what it means, and what nobody documents is a fault."""

from __future__ import annotations

import pytest

from distil.endings import Ending, ending

KNOWN: dict[Ending, str] = {
    "ok": "stop eos eos_token end_turn stop_sequence tool_calls tool_use function_call completed COMPLETE TOOL_CALL FINISH STOP "
    "eosFound toolCalls FinishReason.STOP FINISH_REASON_STOP ALTERNATIVE_STATUS_FINAL",
    "cut": "length max_tokens MAX_TOKENS max_output_tokens model_length model_context_window_exceeded maxPredictedTokensReached "
    "ERROR_LIMIT token_limit",
    "refused": "content_filter refusal SAFETY RECITATION BLOCKLIST PROHIBITED_CONTENT SPII MODEL_ARMOR guardrail_intervened "
    "content_filtered sensitive blacklist ERROR_TOXIC content-filter",
    "fault": "error abort aborted cancelled network_error insufficient_system_resource pause_turn OTHER unknown "
    "MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL MALFORMED_RESPONSE TOO_MANY_TOOL_CALLS MISSING_THOUGHT_SIGNATURE "
    "malformed_model_output malformed_tool_use FINISH_REASON_UNSPECIFIED null compaction load timeout brand_new",
}
CASES = [(word, kind) for kind, words in KNOWN.items() for word in words.split()]


@pytest.mark.parametrize(("word", "kind"), CASES)
def test_a_documented_word_is_read_as_what_it_means(word: str, kind: Ending) -> None:
    assert ending(word) == kind


def test_no_word_at_all_is_a_fault() -> None:
    assert ending(None) == ending("") == ending("  ") == "fault"
