"""What services are known to refuse, in schemas, in histories and in options: one table.

Adapters adapt what is listed here and report it, or refuse it themselves with the reason; the
emulators that tests run against refuse it as the services do. What is not listed is sent as it is,
and the service has its say. Each row names who says so: the service's documents, its own SDK, or
the error that its users report.
"""

import re
from dataclasses import dataclass
from math import inf

from modelplane.adapters.providers.canonical.parameters import Ranges
from modelplane.adapters.providers.canonical.tool_names import NameRules
from modelplane.adapters.providers.schemas.rules import SchemaRules

_WORD = re.compile(r"[a-zA-Z0-9_-]")
CLAUDE_NAMES = NameRules("API: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'", _WORD)
# The API names no limit; ids of its own are far shorter.
CLAUDE_CALL_IDS = NameRules("API: String should match pattern '^[a-zA-Z0-9_-]+$'", _WORD, 256)
CONVERSE_NAMES = NameRules("botocore: ToolSpecification.name and ToolUseBlock.toolUseId", _WORD)
GEMINI_NAMES = NameRules(
    "https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/function-calling: newer "
    "references allow colons and 128 characters, too; these fit them all",
    re.compile(r"[A-Za-z0-9_.-]"),
    first=re.compile(r"[A-Za-z_]"),
)

_PLAIN = frozenset(
    {
        *("type", "title", "description", "enum", "const", "properties", "required", "items"),
        *("$ref", "$defs", "definitions", "additionalProperties", "anyOf", "allOf"),
    }
)
_UNION = frozenset({"anyOf", "oneOf", "allOf"})


# Tools of Claude, wherever it is hosted.
CLAUDE_TOOL = SchemaRules(
    source="API: 'input_schema does not support oneOf, allOf, or anyOf at the top level'; nested "
    "ones it takes. anthropics/claude-code#5319, mobile-next/mobile-mcp#344",
    refused=frozenset({"$schema", "$id"}),
    refused_at_root=_UNION,
)
# The answers of Claude, and its tools that are strict.
CLAUDE_STRICT = SchemaRules(
    source="https://platform.claude.com/docs/en/build-with-claude/structured-outputs, JSON Schema "
    "limitations; the Anthropic SDK's transform_schema keeps these keywords and puts others in "
    "words; API: 'Schemas contains too many parameters with union types'",
    keywords=_PLAIN | {"format", "minItems"},
    formats=frozenset(
        {
            *("date-time", "time", "date", "duration", "email", "hostname", "uri"),
            *("ipv4", "ipv6", "uuid"),
        }
    ),
    most_min_items=1,
    closed=True,
    plain_enums=True,
    recursive=False,
    most_unions=16,
    most_optional=24,
)
# The same limitations of the API; its other limits are in the row above.
CLAUDE_MOST_STRICT_TOOLS = 20
# Tools of Amazon's own models.
NOVA_TOOL = SchemaRules(
    source="https://docs.aws.amazon.com/nova/latest/userguide/tool-use-definition.html: at the top "
    "level only type, properties and required; pydantic/pydantic-ai#1623",
    root_keywords=frozenset({"type", "properties", "required"}),
    refused=frozenset({"$schema", "$id", "$ref"}),
)
# Tools of all other families at Bedrock.
CONVERSE_TOOL = SchemaRules(
    source="API: the value at inputSchema.json.type must be object",
    refused=frozenset({"$schema", "$id"}),
)
# Functions and answers of Gemini.
GEMINI = SchemaRules(
    source="https://cloud.google.com/vertex-ai/docs/reference/rest/v1/Schema; API: 'specified "
    "other fields alongside any_of. When using any_of, it must be the only field set', and 'schema "
    "didn't specify the schema type field', of functions and of answers; BerriAI/litellm#11164, "
    "anomalyco/opencode#15795, googleapis/python-genai#1807",
    keywords=frozenset(
        {
            *("type", "format", "title", "description", "nullable", "default", "enum", "example"),
            *("items", "minItems", "maxItems", "properties", "required", "propertyOrdering"),
            *("minProperties", "maxProperties", "minimum", "maximum", "minLength", "maxLength"),
            *("pattern", "anyOf"),
        }
    ),
    alone=frozenset({"anyOf"}),
    typed=True,
    types=frozenset({"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT"}),
    texts_only=True,
)
# The answers of Cohere, and its tools that are strict.
COHERE_STRICT = SchemaRules(
    source="https://docs.cohere.com/docs/structured-outputs, schema constraints and unsupported "
    "schema features",
    refused=frozenset(
        {
            *("anyOf", "allOf", "oneOf", "not", "minimum", "maximum", "minItems", "maxItems"),
            *("minLength", "maxLength", "uniqueItems", "additionalProperties"),
        }
    ),
    formats=frozenset({"date-time", "uuid", "date", "time"}),
    refused_patterns=re.compile(r"\^|\$|\?=|\?!"),
    needs_required=True,
)


_BUDGET = frozenset({"enabled"})
_EFFORT = frozenset({"adaptive"})


@dataclass(frozen=True, slots=True)
class ClaudeModel:
    """What depends on the generation of a Claude.

    Attributes:
        thinking: Types of thinking that it takes.
        prefill: Whether it goes on from what the assistant says last.
        samplers: How many of temperature and top_p it takes at once.
    """

    thinking: frozenset[str]
    prefill: bool
    samplers: int

    @property
    def budgets(self) -> bool:
        """Whether it thinks within a budget of tokens only; newer ones take an effort."""
        return self.thinking == _BUDGET


# The lists of names are closed; all later models are like the newest.
_CLAUDES: tuple[tuple[re.Pattern[str], ClaudeModel], ...] = (
    # Extended thinking came with Sonnet 3.7.
    (
        re.compile(r"claude-(?:instant|v?[12](?:[-.:]|$)|3-(?!7))"),
        ClaudeModel(thinking=frozenset(), prefill=True, samplers=2),
    ),
    # Both samplers: up to Opus 4 and Sonnet 4.
    (
        re.compile(r"claude-(?:3-7|(?:opus|sonnet)-4(?:-0)?(?:[-@]20\d{6}|[-@:]v\d|$))"),
        ClaudeModel(thinking=_BUDGET, prefill=True, samplers=2),
    ),
    # API: '`temperature` and `top_p` cannot both be specified for this model', from Opus 4.1 on.
    (
        re.compile(r"claude-(?:opus|sonnet|haiku)-4-[15](?:[-@]20\d{6}|[-@:]v\d|$)"),
        ClaudeModel(thinking=_BUDGET, prefill=True, samplers=1),
    ),
    # API: 'This model does not support assistant message prefill', from Opus 4.6 on.
    (
        re.compile(r"claude-(?:opus|sonnet|haiku)-4-6(?:[-@]20\d{6}|[-@:]v\d|$)"),
        ClaudeModel(thinking=_BUDGET | _EFFORT, prefill=False, samplers=1),
    ),
    # Migration guide: 'Starting with Claude Opus 4.7, setting temperature, top_p, or top_k to any
    # non-default value will return a 400 error'; budgets are gone, too.
    (
        re.compile("claude-"),
        ClaudeModel(thinking=_EFFORT, prefill=False, samplers=0),
    ),
)
# A name of the account's own, such as an inference profile's, says nothing.
NAMELESS_CLAUDE = ClaudeModel(thinking=_BUDGET | _EFFORT, prefill=True, samplers=2)


def claude_model(name: str) -> ClaudeModel:
    """Return what a Claude takes; the name may be that of a service that hosts it."""
    return next((model for pattern, model in _CLAUDES if pattern.search(name)), NAMELESS_CLAUDE)


_ZERO_TO_ONE: Ranges = {"temperature": (0, 1), "top_p": (0, 1)}
_SOME_TOKENS: Ranges = {"max_tokens": (1, inf), "max_completion_tokens": (1, inf)}
# The API's reference, POST /v1/messages; the Anthropic SDK's documents of the same parameters.
CLAUDE_RANGES: Ranges = {**_ZERO_TO_ONE, **_SOME_TOKENS, "top_k": (0, inf)}
# Bedrock's user guide, 'Anthropic Claude Text Completions API'.
LEGACY_CLAUDE_RANGES: Ranges = {**CLAUDE_RANGES, "max_tokens": (1, 4096), "top_k": (0, 500)}
# botocore: InferenceConfiguration.
CONVERSE_RANGES: Ranges = {**_ZERO_TO_ONE, **_SOME_TOKENS}
# Bedrock's user guide, 'Meta Llama models'.
LLAMA_RANGES: Ranges = {**_ZERO_TO_ONE, "max_tokens": (1, 2048)}
# https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference, GenerationConfig.
GEMINI_RANGES: Ranges = {
    "max_tokens": (1, 65536),
    "max_completion_tokens": (1, 65536),
    "temperature": (0, 2),
    "top_p": (0, 1),
    "n": (1, 8),
    "top_logprobs": (0, 20),
}
# The reference of the same service's older models, 'Text' and 'Chat for text'.
PALM_RANGES: Ranges = {**_SOME_TOKENS, "n": (1, 8)}
# https://docs.cohere.com/reference/chat and /reference/generate.
COHERE_RANGES: Ranges = {
    "temperature": (0, 1),
    "top_p": (0.01, 0.99),
    "top_k": (0, 500),
    "frequency_penalty": (0, 1),
    "presence_penalty": (0, 1),
    "max_tokens": (0, inf),
    "max_completion_tokens": (0, inf),
    "seed": (0, inf),
}
# Temperatures reach further there than in chats.
COHERE_GENERATE_RANGES: Ranges = {**COHERE_RANGES, "temperature": (0, 5), "n": (1, 5)}
# Bedrock's user guide, 'Cohere Command models' and 'Amazon Titan Text models'.
COMMAND_RANGES: Ranges = {**COHERE_GENERATE_RANGES, "max_tokens": (1, 4096)}
TITAN_RANGES: Ranges = {"temperature": (0, 1), "top_p": (1e-9, 1), "max_tokens": (0, 8192)}
# https://docs.ai21.com/reference: J2 complete, Jamba 1.5.
J2_RANGES: Ranges = {
    "temperature": (0, 5),
    "top_p": (0, 1),
    "n": (1, 16),
    "max_tokens": (0, 8191),
    "frequency_penalty": (-2, 500),
    "presence_penalty": (-2, 500),
}
JAMBA_RANGES: Ranges = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "n": (1, 16),
    "max_tokens": (0, 4096),
    "max_completion_tokens": (0, 4096),
}
# Texts at which to stop.
GEMINI_STOPS = 5
COHERE_STOPS = 5
COMMAND_STOPS = 4
# The only ones of Titan's.
TITAN_STOPS = frozenset({"|", "User:", "\n"})
