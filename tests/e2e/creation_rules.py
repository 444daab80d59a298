"""What a creation may not hold: a table of bodies, and the words that the refusal must hold.

A message must name what to change. `test_rules` sends the bodies.
"""

from typing import NamedTuple

from tests.e2e.rest import Json, split

KEY = "{{secrets/my_scope/my_openai_api_key}}"
INVALID = "INVALID_PARAMETER_VALUE"


def model(
    provider: str = "openai", task: str = "llm/v1/chat", name: str = "gpt-4", **fields: object
) -> Json:
    return {"name": name, "provider": provider, "task": task, **fields}


def openai(**fields: object) -> Json:
    return {"openai_config": {"openai_api_key": KEY} | fields}


def served(name: str = "a", external: Json | None = None, **fields: object) -> Json:
    return {"name": name, "external_model": external or model(**openai()), **fields}


def config(*entities: Json, **fields: object) -> Json:
    return {"served_entities": list(entities), **fields}


def two(*percentages: object, names: tuple[str, ...] = ("a", "b")) -> Json:
    routes = [
        {"served_model_name": name, "traffic_percentage": percentage}
        for name, percentage in zip(names, percentages, strict=True)
    ]
    return config(served("a"), served("b"), traffic_config={"routes": routes})


CUSTOM_MODEL: Json = {
    "name": "custom",
    "entity_name": "catalog.schema.model",
    "entity_version": "1",
    "workload_size": "Small",
    "scale_to_zero_enabled": True,
}
AZURE = {
    "openai_api_type": "azure",
    "openai_api_base": "https://x.openai.azure.com",
    "openai_api_version": "2023-05-15",
    "openai_deployment_name": "d",
}
BEDROCK = {
    "aws_region": "us-east-1",
    "aws_access_key_id": "{{secrets/my_amazon_bedrock_secret_scope/aws_access_key_id}}",
    "aws_secret_access_key": "{{secrets/my_amazon_bedrock_secret_scope/aws_secret_access_key}}",
    "bedrock_provider": "Anthropic",
}


class Rule(NamedTuple):
    """One thing that is refused."""

    case: str
    body: Json
    words: tuple[str, ...]
    status: int = 400
    code: str = INVALID


def named(name: object) -> Json:
    return {"name": name, "config": config(served())}


def configured(config: Json, **fields: object) -> Json:
    return {"name": "rule", "config": config, **fields}


def external(external: Json) -> Json:
    return configured(config(served(external=external)))


def without(fields: Json, name: str) -> Json:
    return {key: value for key, value in fields.items() if key != name}


CREATION: list[Rule] = [
    # Names.
    Rule("no name", {"config": config(served())}, ("name",)),
    Rule("empty name", named(""), ("name",)),
    Rule("blank in name", named("bad name"), ("bad name",)),
    Rule("dot in name", named("bad.name"), ("bad.name",)),
    Rule("slash in name", named("a/b"), ("a/b",)),
    Rule("letter outside ASCII", named("naïve"), ("name",)),
    Rule("64 characters", named("x" * 64), ("63",)),
    Rule("reserved prefix", named("databricks-mine"), ("databricks-",)),
    # Served entities.
    Rule(
        "both spellings",
        configured(config(served()) | {"served_models": [served("b")]}),
        ("served_entities", "served_models"),
    ),
    Rule(
        "equal names",
        configured(two(50, 50, names=("a", "a")) | config(served(), served())),
        ("a",),
    ),
    Rule("bad entity name", configured(config(served("a b"))), ("a b",)),
    Rule("entity of no kind", configured(config({"name": "a"})), ("external_model",)),
    Rule(
        "16 entities",
        configured(
            config(
                *(served(f"e{n}") for n in range(16)),
                traffic_config=split(**{f"e{n}": 100 if n == 0 else 0 for n in range(16)}),
            )
        ),
        ("15",),
    ),
    Rule(
        "mixed kinds",
        configured(config(served(), CUSTOM_MODEL, traffic_config=split(a=50, custom=50))),
        ("external",),
    ),
    *(
        Rule(f"external with {field}", configured(config(served() | {field: value})), (field,))
        for field, value in [
            ("entity_name", "c.s.m"),
            ("entity_version", "1"),
            ("workload_size", "Small"),
            ("workload_type", "CPU"),
            ("scale_to_zero_enabled", True),
            ("min_provisioned_throughput", 10),
            ("max_provisioned_throughput", 100),
        ]
    ),
    Rule(
        "two tasks",
        configured(
            config(
                served("a"),
                served("b", model(task="llm/v1/completions", **openai())),
                traffic_config=split(a=50, b=50),
            )
        ),
        ("task", "llm/v1/chat", "llm/v1/completions"),
    ),
    Rule(
        "inference table",
        configured(config(served(), auto_capture_config={"catalog_name": "c", "schema_name": "s"})),
        ("auto_capture_config",),
    ),
    Rule(
        "route optimized", configured(config(served()), route_optimized=True), ("route_optimized",)
    ),
    # Traffic.
    Rule("no split", configured(config(served("a"), served("b"))), ("traffic_config",)),
    Rule("sum of 90", configured(two(50, 40)), ("100", "90")),
    Rule("sum of 110", configured(two(60, 50)), ("100", "110")),
    Rule("negative share", configured(two(110, -10)), ("traffic_percentage",)),
    Rule("unknown route", configured(two(50, 50, names=("a", "zz"))), ("zz",)),
    Rule("double route", configured(two(50, 50, names=("a", "a"))), ("a",)),
    Rule(
        "entity without route",
        configured(config(served("a"), served("lonely"), traffic_config=split(a=100))),
        ("lonely",),
    ),
    Rule(
        "route without name",
        configured(config(served(), traffic_config={"routes": [{"traffic_percentage": 100}]})),
        ("served_entity_name",),
    ),
    # External models.
    Rule("no model name", external(without(model(**openai()), "name")), ("external_model.name",)),
    Rule("no provider", external(without(model(**openai()), "provider")), ("provider",)),
    Rule("unknown provider", external(model("nobody", **openai())), ("nobody", "openai")),
    Rule("no task", external(without(model(**openai()), "task")), ("task",)),
    Rule("unknown task", external(model(task="llm/v2/chat", **openai())), ("llm/v2/chat",)),
    Rule(
        "task that the provider lacks",
        external(
            model(
                "anthropic",
                "llm/v1/embeddings",
                anthropic_config={"anthropic_api_key_plaintext": "k"},
            )
        ),
        ("anthropic", "llm/v1/embeddings"),
    ),
    Rule("no provider config", external(model()), ("openai_config",)),
    Rule("config of another", external(model("anthropic", **openai())), ("anthropic_config",)),
    # Credentials.
    Rule(
        "no key", external(model(openai_config={})), ("openai_api_key", "openai_api_key_plaintext")
    ),
    Rule(
        "reference and plaintext",
        external(model(**openai(openai_api_key_plaintext="sk-x"))),
        ("openai_api_key", "openai_api_key_plaintext"),
    ),
    Rule("no reference", external(model(**openai(openai_api_key="sk-x"))), ("{{secrets/",)),
    Rule(
        "unknown scope",
        external(model(**openai(openai_api_key="{{secrets/nowhere/key}}"))),
        ("nowhere",),
    ),
    Rule(
        "unknown key",
        external(model(**openai(openai_api_key="{{secrets/my_scope/nothing}}"))),
        ("nothing",),
    ),
    # Providers.
    *(
        Rule(f"azure without {field}", external(model(**openai(**without(AZURE, field)))), (field,))
        for field in ("openai_api_base", "openai_api_version", "openai_deployment_name")
    ),
    *(
        Rule(
            f"azuread without {field}",
            external(
                model(
                    openai_config=without(
                        AZURE
                        | {
                            "openai_api_type": "azuread",
                            "microsoft_entra_tenant_id": "t",
                            "microsoft_entra_client_id": "c",
                            "microsoft_entra_client_secret_plaintext": "s",
                        },
                        field,
                    )
                )
            ),
            (field.removesuffix("_plaintext"),),
        )
        for field in (
            "microsoft_entra_tenant_id",
            "microsoft_entra_client_id",
            "microsoft_entra_client_secret_plaintext",
        )
    ),
    Rule(
        "unknown api type", external(model(**openai(openai_api_type="gcp"))), ("openai_api_type",)
    ),
    *(
        Rule(
            f"bedrock without {field}",
            external(model("amazon-bedrock", amazon_bedrock_config=without(BEDROCK, field))),
            (field,),
        )
        for field in BEDROCK
    ),
    Rule(
        "unknown bedrock provider",
        external(
            model("amazon-bedrock", amazon_bedrock_config=BEDROCK | {"bedrock_provider": "acme"})
        ),
        ("bedrock_provider",),
    ),
    *(
        Rule(
            f"vertex without {field}",
            external(
                model(
                    "google-cloud-vertex-ai",
                    google_cloud_vertex_ai_config=without(
                        {"project_id": "p", "region": "r", "private_key": KEY}, field
                    ),
                )
            ),
            (field,),
        )
        for field in ("project_id", "region", "private_key")
    ),
    Rule("cohere without key", external(model("cohere", cohere_config={})), ("cohere_api_key",)),
    Rule(
        "ai21 without key", external(model("ai21labs", ai21labs_config={})), ("ai21labs_api_key",)
    ),
    Rule(
        "workspace without URL",
        external(
            model(
                "databricks-model-serving",
                databricks_model_serving_config={"databricks_api_token": KEY},
            )
        ),
        ("databricks_workspace_url",),
    ),
    # Tags, limits, gateway.
    Rule("tag without key", configured(config(served()), tags=[{"value": "x"}]), ("key",)),
    Rule(
        "21 tags",
        configured(config(served()), tags=[{"key": f"k{n}"} for n in range(21)]),
        ("20",),
    ),
    Rule(
        "limit without calls",
        configured(config(served()), rate_limits=[{"renewal_period": "minute"}]),
        ("calls",),
    ),
    Rule(
        "workload size and concurrency",
        configured(config(CUSTOM_MODEL | {"min_provisioned_concurrency": 4})),
        ("workload_size", "min_provisioned_concurrency"),
    ),
    # Hosted models are refused as a whole by a deployment that has no registry of them.
    Rule(
        "hosted model",
        configured(config(CUSTOM_MODEL)),
        ("MODELPLANE_REGISTRY",),
        501,
        "NOT_IMPLEMENTED",
    ),
]
