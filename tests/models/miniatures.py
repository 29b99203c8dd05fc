"""Miniatures of the chat templates of real families: written for these tests, each with the differences that decide.

Not the published templates: those are read from the folder in DISTIL_TEMPLATES, where there is one (test_template_matrix.py).
"""

from __future__ import annotations

from typing import NamedTuple

GENERATION = "{% if add_generation_prompt %}{{ 'START' }}{% endif %}"


class Miniature(NamedTuple):
    """A template, and how a plain answer of it ends."""

    text: str
    end: str
    tools: bool = False
    """It shows tool definitions and calls."""
    reasoning: bool = False
    """It shows reasoning_content when thinking is on."""


def _each(body: str, start: str, before: str = "") -> str:
    asks = "{%- if add_generation_prompt %}{{ " + repr(start) + " }}{% endif %}"
    return before + "{%- for m in messages %}" + body + "{%- endfor %}" + asks


_CHATML = "{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
_HERMES = (
    "{%- for c in m.tool_calls or [] %}{{- '\\n' if m.content or not loop.first else '' }}"
    "{{- '<tool_call>\\n' + ({'name': c.function.name, 'arguments': c.function.arguments} | tojson) + '\\n</tool_call>' }}{%- endfor %}"
)
_TAGGED = (
    "{%- for c in m.tool_calls or [] %}{{- '\\n<tool_call>\\n<function=' + c.function.name + '>\\n' }}"
    "{%- for k, v in c.function.arguments.items() %}{{- '<parameter=' + k + '>\\n' }}"
    "{{- v if v is string else v | tojson }}{{- '\\n</parameter>\\n' }}{%- endfor %}{{- '</function>\\n</tool_call>' }}{%- endfor %}"
)
_TOOLS = "{%- if tools %}{{- '<|im_start|>system\\n# Tools\\n' }}{%- for t in tools %}{{- t | tojson }}{%- endfor %}{{- '<|im_end|>\\n' }}{%- endif %}"
_LAST_USER = (
    "{%- set ns = namespace(last=-1) %}{%- for m in messages %}{%- if m.role == 'user' %}{%- set ns.last = loop.index0 %}"
    "{%- endif %}{%- endfor %}"
)
_QWEN_TURN = (
    "{%- if m.role == 'assistant' %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if loop.index0 > ns.last and SHOWS %}{{- '<think>\\n' + (m.reasoning_content or '') + '\\n</think>\\n\\n' }}{%- endif %}"
    "{{- m.content or '' }}CALLS{{- '<|im_end|>\\n' }}"
    "{%- elif m.role == 'tool' %}{{- '<|im_start|>user\\n<tool_response>\\n' + m.content + '\\n</tool_response><|im_end|>\\n' }}"
    "{%- else %}" + _CHATML + "{%- endif %}"
)
_OFF = "{%- if add_generation_prompt and enable_thinking is defined and not enable_thinking %}{{- '<think>\\n\\n</think>\\n\\n' }}"
_QWEN3 = _QWEN_TURN.replace("SHOWS", "(loop.last or m.reasoning_content)").replace("CALLS", _HERMES)
_QWEN35 = _QWEN_TURN.replace("SHOWS", "true").replace("CALLS", _TAGGED)

_LLAMA = "{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim + '<|eot_id|>' }}"
_LLAMA31 = (
    "{%- if m.tool_calls is defined and m.tool_calls %}{%- if m.tool_calls | length != 1 %}"
    "{{- raise_exception('This model only supports single tool-calls at once!') }}{%- endif %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- set f = m.tool_calls[0].function %}"
    "{{- '{\"name\": \"' + f.name + '\", \"parameters\": ' + (f.arguments | tojson) + '}<|eot_id|>' }}"
    "{%- elif m.role == 'tool' %}{{- '<|start_header_id|>ipython<|end_header_id|>\\n\\n' + (m.content | tojson) + '<|eot_id|>' }}"
    "{%- else %}" + _LLAMA + "{%- endif %}"
)
_LLAMA31_HEAD = (
    "{{- bos_token }}{%- if strftime_now is defined %}{%- set day = strftime_now('%d %b %Y') %}{%- else %}"
    "{%- set day = '26 Jul 2024' %}{%- endif %}{{- '<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: ' + day }}"
    "{%- if tools is not none and tools %}{%- for t in tools %}{{- '\\n' + (t | tojson) }}{%- endfor %}{%- endif %}{{- '<|eot_id|>' }}"
)
_LLAMA_START = "<|start_header_id|>assistant<|end_header_id|>\n\n"

_MISTRAL = (
    "{%- if m.role == 'user' %}{%- if loop.last and tools %}{{- '[AVAILABLE_TOOLS]' + (tools | tojson) + '[/AVAILABLE_TOOLS]' }}"
    "{%- endif %}{{- '[INST]' + (ns.system + '\\n\\n' if loop.last and ns.system else '') + m.content + '[/INST]' }}"
    "{%- elif m.tool_calls %}{{- '[TOOL_CALLS][' }}{%- for c in m.tool_calls %}{%- if c.id | length != 9 %}"
    "{{- raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}{%- endif %}"
    "{{- (c.function | tojson)[:-1] + ', \"id\": \"' + c.id + '\"}' + ('' if loop.last else ', ') }}{%- endfor %}{{- ']' + eos_token }}"
    "{%- elif m.role == 'tool' %}{%- if m.tool_call_id | length != 9 %}{{- raise_exception('IDs should have length 9!') }}{%- endif %}"
    "{{- '[TOOL_RESULTS]{\"content\": ' + (m.content | tojson) + '}[/TOOL_RESULTS]' }}"
    "{%- elif m.role == 'assistant' %}{{- m.content + eos_token }}{%- endif %}"
)
_MISTRAL_HEAD = (
    "{{- bos_token }}{%- set ns = namespace(system='') %}"
    "{%- for m in messages if m.role == 'system' %}{%- set ns.system = m.content %}{%- endfor %}"
)
_GEMMA2 = (
    "{%- if m.role == 'system' %}{{- raise_exception('System role not supported') }}{%- endif %}"
    "{{- '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + m.content | trim + '<end_of_turn>\\n' }}"
)
_GEMMA3 = (
    "{%- if m.role == 'system' %}{%- set ns.system = m.content + '\\n\\n' %}{%- else %}"
    "{{- '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + ns.system + m.content | trim + '<end_of_turn>\\n' }}"
    "{%- set ns.system = '' %}{%- endif %}"
)
_PHI3 = "{{- '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}"
_GPT_OSS = (
    "{%- if m.role == 'assistant' %}{%- if 'tool_calls' in m %}"
    "{%- if m.thinking %}{{- '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking + '<|end|>' }}{%- endif %}"
    "{{- '<|start|>assistant to=functions.' + m.tool_calls[0].function.name + '<|channel|>commentary json<|message|>' }}"
    "{{- (m.tool_calls[0].function.arguments | tojson) + '<|call|>' }}"
    "{%- elif loop.last and not add_generation_prompt %}"
    "{%- if 'thinking' in m %}{{- '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking + '<|end|>' }}{%- endif %}"
    "{{- '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|return|>' }}"
    "{%- else %}{{- '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|end|>' }}{%- endif %}"
    "{%- elif m.role == 'tool' %}{{- '<|start|>functions to=assistant<|message|>' + (m.content | tojson) + '<|end|>' }}"
    "{%- else %}{{- '<|start|>' + ('developer' if m.role == 'system' else m.role) + '<|message|>' + m.content + '<|end|>' }}{%- endif %}"
)
_GPT_HEAD = (
    "{{- '<|start|>system<|message|>Current date: ' + strftime_now('%Y-%m-%d') + '<|end|>' }}"
    "{%- if tools %}{{- '<|start|>developer<|message|># Tools\\n' + (tools | tojson) + '<|end|>' }}{%- endif %}"
)
_R1 = (
    "{%- if m.role == 'user' %}{{- '<｜User｜>' + m.content }}{%- elif m.role == 'assistant' %}"
    "{{- '<｜Assistant｜>' + m.content.split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}{%- endif %}"
)
_R1_HEAD = "{{- bos_token }}{%- for m in messages if m.role == 'system' %}{{- m.content }}{%- endfor %}"
_V31_CALLS = (
    "{%- if m.tool_calls %}{{- '<｜tool▁calls▁begin｜>' }}{%- for c in m.tool_calls %}{{- '<｜tool▁call▁begin｜>' + c.function.name + "
    "'<｜tool▁sep｜>' + c.function.arguments + '<｜tool▁call▁end｜>' }}{%- endfor %}{{- '<｜tool▁calls▁end｜>' }}{%- endif %}"
)
_V31 = (
    "{%- if m.role == 'user' %}{{- '<｜User｜>' + m.content }}{%- elif m.role == 'assistant' %}{{- '<｜Assistant｜></think>' }}"
    "{{- m.content or '' }}" + _V31_CALLS + "{{- '<｜end▁of▁sentence｜>' }}"
    "{%- elif m.role == 'tool' %}{{- '<｜tool▁output▁begin｜>' + m.content + '<｜tool▁output▁end｜>' }}{%- endif %}"
)
_V32 = (
    "{%- if m.role == 'user' %}{{- '<｜User｜>' + m.content }}{%- elif m.role == 'assistant' %}{{- '<｜Assistant｜></think>' }}"
    "{{- m.content or '' }}{%- if m.tool_calls %}{{- '\\n\\n<｜DSML｜function_calls>\\n' }}{%- for c in m.tool_calls %}"
    "{{- '<｜DSML｜invoke name=\"' + c.function.name + '\">\\n' }}{%- for k, v in c.function.arguments.items() %}"
    "{{- '<｜DSML｜parameter name=\"' + k + '\" string=\"' + ('true\">' + v if v is string else 'false\">' + (v | tojson)) }}"
    "{{- '</｜DSML｜parameter>\\n' }}{%- endfor %}{{- '</｜DSML｜invoke>\\n' }}{%- endfor %}{{- '</｜DSML｜function_calls>' }}{%- endif %}"
    "{{- '<｜end▁of▁sentence｜>' }}{%- elif m.role == 'tool' %}{{- '<function_results>' + m.content + '</function_results>' }}{%- endif %}"
)
_GEMMA4_VALUE = (
    "{%- macro value(v) %}{%- if v is string %}{{- '<|\"|>' + v + '<|\"|>' }}{%- elif v is mapping %}{{- '{' }}"
    "{%- for k, w in v | dictsort %}{{- k + ':' }}{{- value(w) }}{{- '' if loop.last else ',' }}{%- endfor %}{{- '}' }}"
    "{%- elif v is sequence %}{{- '[' }}{%- for w in v %}{{- value(w) }}{{- '' if loop.last else ',' }}{%- endfor %}{{- ']' }}"
    "{%- else %}{{- v | tojson }}{%- endif %}{%- endmacro %}"
)
_GEMMA4 = (
    "{%- if m.role == 'tool' %}{{- '<|turn>user\\n<|tool_response>' + m.content + '<tool_response|><turn|>\\n' }}{%- else %}"
    "{{- '<|turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + (m.content or '') | trim }}"
    "{%- for c in m.tool_calls or [] %}{{- '<|tool_call>call:' + c.function.name }}{{- value(c.function.arguments) }}"
    "{{- '<tool_call|>' }}{%- endfor %}{{- '<turn|>\\n' }}{%- endif %}"
)
_FUNCTIONARY = (
    "{%- if m.role == 'assistant' %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
    "{%- if m.content %}{{- '>>>all\\n' + m.content }}{%- endif %}"
    "{%- for c in m.tool_calls or [] %}{{- '>>>' + c.function.name + '\\n' + c.function.arguments }}{%- endfor %}{{- '<|eot_id|>' }}"
    "{%- else %}" + _LLAMA + "{%- endif %}"
)
_APERTUS = (
    "{{- '<|' + m.role + '_start|>' + (m.content or '') }}{%- if m.tool_calls %}{{- '<|tools_prefix|>[' }}"
    "{%- for c in m.tool_calls %}{{- {c.function.name: c.function.arguments} | tojson }}{{- '' if loop.last else ', ' }}{%- endfor %}"
    "{{- ']<|tools_suffix|>' }}{%- endif %}{{- '<|' + m.role + '_end|>' }}"
)
_NEMOTRON = (
    "{%- if m.role == 'assistant' %}{{- '<|im_start|>assistant\\n' }}"
    "{{- '<think>\\n' + m.reasoning_content + '\\n</think>\\n' if m.reasoning_content else '<think></think>' }}"
    "{{- m.content or '' }}" + _TAGGED + "{{- '<|im_end|>\\n' }}"
    "{%- elif m.role == 'tool' %}{{- '<|im_start|>user\\n<tool_response>\\n' + m.content + '\\n</tool_response><|im_end|>\\n' }}"
    "{%- else %}" + _CHATML + "{%- endif %}"
)
_SMOLLM3 = (
    "{%- if m.role == 'assistant' %}{% generation %}{{- '<|im_start|>assistant\\n' + ('' if mode else '<think>\\n\\n</think>\\n') }}"
    "{{- m.content + '<|im_end|>\\n' }}{% endgeneration %}{%- elif m.role == 'user' %}" + _CHATML + "{%- endif %}"
)
_SMOLLM3_HEAD = (
    "{%- set mode = enable_thinking if enable_thinking is defined else true %}"
    "{{- '<|im_start|>system\\nToday Date: ' + strftime_now('%d %B %Y') + '\\nReasoning Mode: ' + ('/think' if mode else '/no_think') }}"
    "{{- '\\n' + (messages[0].content if messages[0].role == 'system' else 'You are SmolLM.') + '<|im_end|>\\n' }}"
)
_GRANITE = (
    "{{- '<|start_of_role|>' + m.role + '<|end_of_role|>' + (m.content or '') }}"
    "{%- if m.tool_calls %}{{- '<|tool_call|>[' }}{%- for c in m.tool_calls %}{{- {'name': c.function.name, 'arguments': "
    "c.function.arguments} | tojson }}{{- '' if loop.last else ', ' }}{%- endfor %}{{- ']' }}{%- endif %}{{- '<|end_of_text|>\\n' }}"
)
_GRANITE_HEAD = "{%- if tools %}{{- '<|start_of_role|>tools<|end_of_role|>' + (tools | tojson) + '<|end_of_text|>\\n' }}{%- endif %}"
_LFM2 = (
    "{{- '<|im_start|>' + m.role + '\\n' }}{%- if m.tool_calls %}{{- '<|tool_call_start|>[' }}{%- for c in m.tool_calls %}"
    "{{- c.function.name + '(' }}{%- for k, v in c.function.arguments.items() %}{{- k + '=' + (\"'\" + v + \"'\" if v is string else v | tojson) }}"
    "{{- '' if loop.last else ', ' }}{%- endfor %}{{- ')' + ('' if loop.last else ', ') }}{%- endfor %}{{- ']<|tool_call_end|>' }}"
    "{%- endif %}{{- (m.content or '') + '<|im_end|>\\n' }}"
)
_GLM = (
    "{%- if m.role == 'assistant' %}{{- '<|assistant|>\\n' + ('<think></think>\\n' if not m.reasoning_content else '<think>' + "
    "m.reasoning_content + '</think>\\n') + (m.content or '') }}{%- for c in m.tool_calls or [] %}"
    "{{- '\\n<tool_call>' + c.function.name + '\\n' }}{%- for k, v in c.function.arguments.items() %}"
    "{{- '<arg_key>' + k + '</arg_key>\\n<arg_value>' + (v if v is string else v | tojson) + '</arg_value>\\n' }}{%- endfor %}"
    "{{- '</tool_call>' }}{%- endfor %}{%- elif m.role == 'tool' %}{{- '<|observation|>\\n' + m.content }}"
    "{%- else %}{{- '<|' + m.role + '|>\\n' + m.content }}{%- endif %}"
)
_GLM_HEAD = "{%- if tools %}{{- '<|system|>\\n' + (tools | tojson) }}{%- endif %}"
_GLM_END = "{%- if add_generation_prompt and enable_thinking is defined and not enable_thinking %}{{- '<think></think>\\n' }}{%- endif %}"
_COHERE = (
    "{{- '<|START_OF_TURN_TOKEN|>' + ('<|CHATBOT_TOKEN|>' if m.role == 'assistant' else '<|' + m.role + '|>') }}"
    "{{- m.content + '<|END_OF_TURN_TOKEN|>' }}"
)
_LLAMA2 = (
    "{%- if m.role == 'user' %}{{- bos_token + '[INST] ' + ns.system + m.content + ' [/INST]' }}{%- set ns.system = '' %}"
    "{%- elif m.role == 'assistant' %}{{- ' ' + m.content + ' ' + eos_token }}"
    "{%- else %}{%- set ns.system = '<<SYS>>\\n' + m.content + '\\n<</SYS>>\\n\\n' %}{%- endif %}"
)

MINIATURES = {
    "chatml": Miniature(_each(_CHATML, "<|im_start|>assistant\n"), "<|im_end|>"),
    "llama-3": Miniature(_each(_LLAMA, _LLAMA_START, "{{- bos_token }}"), "<|eot_id|>"),
    "llama-3.1": Miniature(_each(_LLAMA31, _LLAMA_START, _LLAMA31_HEAD), "<|eot_id|>", tools=True),
    "qwen-2.5": Miniature(
        _each(
            _QWEN_TURN.replace("SHOWS", "false").replace("CALLS", _HERMES),
            "<|im_start|>assistant\n",
            _LAST_USER + _TOOLS,
        ),
        "<|im_end|>",
        tools=True,
    ),
    "qwen-3": Miniature(
        _each(_QWEN3, "<|im_start|>assistant\n", _LAST_USER + _TOOLS) + _OFF + "{%- endif %}", "<|im_end|>", True, True
    ),
    "qwen-3.5": Miniature(
        _each(_QWEN35, "<|im_start|>assistant\n", _LAST_USER + _TOOLS)
        + _OFF
        + "{%- elif add_generation_prompt %}{{- '<think>\\n' }}{%- endif %}",
        "<|im_end|>",
        True,
        True,
    ),
    "mistral": Miniature(_each(_MISTRAL, "", _MISTRAL_HEAD), "</s>", tools=True),
    "gemma-2": Miniature(_each(_GEMMA2, "<start_of_turn>model\n", "{{- bos_token }}"), "<end_of_turn>"),
    "gemma-3": Miniature(
        _each(_GEMMA3, "<start_of_turn>model\n", "{{- bos_token }}{%- set ns = namespace(system='') %}"),
        "<end_of_turn>",
    ),
    "phi-3": Miniature(
        _each(_PHI3, "<|assistant|>\n") + "{%- if not add_generation_prompt %}{{- eos_token }}{%- endif %}", "<|end|>"
    ),
    "phi-4": Miniature(
        _each(
            "{{- '<|im_start|>' + m.role + '<|im_sep|>' + m.content + '<|im_end|>' }}",
            "<|im_start|>assistant<|im_sep|>",
        ),
        "<|im_end|>",
    ),
    "gpt-oss": Miniature(_each(_GPT_OSS, "<|start|>assistant", _GPT_HEAD), "<|return|>", True, True),
    "deepseek-r1": Miniature(_each(_R1, "<｜Assistant｜><think>\n", _R1_HEAD), "<｜end▁of▁sentence｜>"),
    "deepseek-v3.1": Miniature(
        _each(_V31, "<｜Assistant｜></think>", _R1_HEAD + "{%- if tools %}{{- tools | tojson }}{%- endif %}"),
        "<｜end▁of▁sentence｜>",
        tools=True,
    ),
    "deepseek-v3.2": Miniature(
        _each(_V32, "<｜Assistant｜></think>", _R1_HEAD + "{%- if tools %}{{- tools | tojson }}{%- endif %}"),
        "<｜end▁of▁sentence｜>",
        tools=True,
    ),
    "gemma-4": Miniature(
        _each(
            _GEMMA4,
            "<|turn>model\n",
            "{{- bos_token }}" + _GEMMA4_VALUE + "{%- if tools %}{{- tools | tojson }}{%- endif %}",
        ),
        "<turn|>",
        tools=True,
    ),
    "nemotron-3": Miniature(
        _each(_NEMOTRON, "<|im_start|>assistant\n", _TOOLS)
        + "{%- if add_generation_prompt %}{{- '<think></think>' if enable_thinking is defined and not enable_thinking "
        "else '<think>\\n' }}{%- endif %}",
        "<|im_end|>",
        True,
        True,
    ),
    "nemotron-nano-2": Miniature(
        "{%- for m in messages %}{%- if m.role == 'assistant' %}{{- '<SPECIAL_11>Assistant\n<think>\n' + m.content + '\n<SPECIAL_12>\n' }}"
        "{%- elif m.role == 'user' %}{{- '<SPECIAL_11>User\n' + m.content + '\n' }}{%- else %}{{- '<SPECIAL_10>System\n' + m.content + '\n' }}"
        "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<SPECIAL_11>Assistant\n<think>\n' }}{%- endif %}",
        "<SPECIAL_12>",
    ),
    "smollm-3": Miniature(
        _each(_SMOLLM3, "<|im_start|>assistant\n", _SMOLLM3_HEAD)
        + "{%- if add_generation_prompt and not mode %}{{- '<think>\\n\\n</think>\\n' }}{%- endif %}",
        "<|im_end|>",
    ),
    "granite": Miniature(
        _each(_GRANITE, "<|start_of_role|>assistant<|end_of_role|>", _GRANITE_HEAD), "<|end_of_text|>", True
    ),
    "lfm-2": Miniature(_each(_LFM2, "<|im_start|>assistant\n", _TOOLS), "<|im_end|>", tools=True),
    "glm-4.5": Miniature(_each(_GLM, "<|assistant|>\n", _GLM_HEAD) + _GLM_END, "<|im_end|>", True, True),
    "cohere": Miniature(
        _each(_COHERE, "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>", "{{- bos_token }}"), "<|END_OF_TURN_TOKEN|>"
    ),
    "command-a": Miniature(
        _each(
            _COHERE.replace("m.content +", "m.content + ('<|END_RESPONSE|>' if m.role == 'assistant' else '') +"),
            "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
            "{{- bos_token }}",
        ),
        "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>",
    ),
    "zephyr": Miniature(
        _each("{{- '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' }}", "<|assistant|>\n"), "</s>"
    ),
    "llama-2": Miniature(_each(_LLAMA2, "", "{%- set ns = namespace(system='') %}"), "</s>"),
    "several": Miniature(_each(_CHATML, "<|im_start|>assistant\n"), "<|im_end|>"),
}

CALLS = {
    "functionary-3.2": Miniature(
        _each(_FUNCTIONARY, _LLAMA_START + ">>>", "{%- if tools %}{{- tools | tojson }}{%- endif %}"),
        "<|eot_id|>",
        tools=True,
    ),
    "apertus": Miniature(
        _each(_APERTUS, "<|assistant_start|>", "{%- if tools %}{{- tools | tojson }}{%- endif %}"),
        "<|assistant_end|>",
        tools=True,
    ),
}
"""Miniatures whose calls alone are tried: Functionary's plain answers begin with a recipient, so that it can't be trained as it is."""
