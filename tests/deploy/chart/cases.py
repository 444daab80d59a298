"""Values that the chart is rendered with, and values that it refuses."""

from tests.deploy.chart.render import Document

_EXISTING: Document = {"secrets": {"existing": "modelplane"}}
_FROM = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
_PLACED: Document = {
    "podAnnotations": {"a": "b"},
    "podLabels": {"c": "d"},
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "serving", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
}
# All that can be said at once, but for what excludes it.
_EVERYTHING: Document = {
    "image": {"repository": "registry.example.com/modelplane", "digest": f"sha256:{'0' * 64}"},
    "imagePullSecrets": [{"name": "pull"}],
    "secrets": {
        "databaseUrl": "postgresql://user:word@db:5432/modelplane",
        "adminToken": "token",
        "masterKey": "key",
    },
    "allowedUpstreams": [".svc.cluster.local", "10.1.0.0/16"],
    "ownAddresses": ["db.databases.svc.cluster.local:5432"],
    "drainSeconds": 60,
    "controlPlane": {
        **_PLACED,
        "settings": {"MODELPLANE_LOG_LEVEL": "debug", "MODELPLANE_KEEP_VERSIONS": 100},
        "extraEnv": [{"name": "AWS_REGION", "value": "eu-west-1"}],
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/a"}},
        "disruptionBudget": {"maxUnavailable": "50%"},
    },
    "worker": {
        **_PLACED,
        "settings": {"MODELPLANE_OTLP_ENDPOINT": "http://collector.monitoring:4317"},
        "extraEnv": [{"name": "OTEL_SERVICE_NAME", "value": "modelplane"}],
        "autoscaling": {"enabled": True, "inFlight": 32, "cpu": 80},
    },
    "launcher": {
        **_PLACED,
        "enabled": True,
        "memory": "256GiB",
        "gpus": 8,
        "settings": {"MODELPLANE_LAUNCHER_POOL": "default", "MODELPLANE_LOG_LEVEL": "debug"},
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "pod": {
            "nodeSelector": {"disk": "fast"},
            "env": [{"name": "UV_INDEX_URL", "value": "https://packages.example.com/simple"}],
        },
        "serviceAccount": {"annotations": {"a": "b"}},
    },
    "envoy": {
        **_PLACED,
        "publicUrl": "https://models.example.com",
        "corsOrigins": ["https://app.example.com"],
        "queries": "transcoded",
        "userInterface": False,
        "tlsSecret": "public",
        "autoscaling": {"enabled": True},
    },
    "service": {
        "type": "LoadBalancer",
        "port": 443,
        "annotations": {"a": "b"},
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
    },
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"a": "b"},
        "host": "models.example.com",
        "tlsSecret": "ingress",
    },
    "networkPolicy": {
        "clients": _FROM,
        "monitoring": _FROM,
        "database": [{"ipBlock": {"cidr": "10.2.0.0/16"}}],
        "upstreams": [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}],
    },
    "monitoring": {
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "alerts": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboard": {"enabled": True},
    },
}
_OWN_CERTIFICATES: Document = {
    "certManager": {"enabled": False},
    "existing": {"controlPlane": "cp-tls", "worker": "w-tls", "envoy": "e-tls"},
}
_LAUNCHER_CERTIFICATE: Document = {"existing": {"launcher": "l-tls"}}

GOOD: dict[str, Document] = {
    "embedded": _EXISTING,
    "separate": {**_EXISTING, "layout": "separate"},
    "everything-embedded": _EVERYTHING,
    "everything-separate": {**_EVERYTHING, "layout": "separate"},
    "own-certificates": {**_EXISTING, "layout": "separate", "certificates": _OWN_CERTIFICATES},
    "other-issuer": {
        **_EXISTING,
        "certificates": {"certManager": {"issuer": {"name": "vault", "kind": "ClusterIssuer"}}},
    },
    "key-in-kms": {
        **_EXISTING,
        "controlPlane": {
            "masterKeyFromSecret": False,
            "settings": {"MODELPLANE_MASTER_KEY_KMS": "arn:aws:kms:eu-west-1:1:key/a"},
        },
    },
    "hosting": {
        **_EXISTING,
        "launcher": {"enabled": True},
        "certificates": {
            **_OWN_CERTIFICATES,
            "existing": _OWN_CERTIFICATES["existing"] | _LAUNCHER_CERTIFICATE["existing"],
        },
    },
    "keda": {**_EXISTING, "launcher": {"enabled": True, "scaling": "keda"}},
    "keda-with-own-certificates": {
        **_EXISTING,
        "launcher": {"enabled": True, "scaling": "keda"},
        "networkPolicy": {"keda": _FROM},
        "certificates": {
            **_OWN_CERTIFICATES,
            "existing": _OWN_CERTIFICATES["existing"]
            | _LAUNCHER_CERTIFICATE["existing"]
            | {"keda": "k-tls"},
        },
    },
    "bare": {
        **_EXISTING,
        "fullnameOverride": "serving",
        "networkPolicy": {"enabled": False},
        "topologySpread": [],
        "migration": {"enabled": False},
        "controlPlane": {"replicas": 1, "disruptionBudget": {"enabled": False}},
        "worker": {"replicas": 1, "disruptionBudget": {"enabled": False}},
    },
}

# What is refused, and a part of what is said.
REFUSED: dict[str, tuple[Document, str]] = {
    "no-secrets": ({}, "secrets.existing"),
    "some-secrets": ({"secrets": {"adminToken": "t"}}, "secrets.existing"),
    "secrets-twice": ({"secrets": {"existing": "a", "adminToken": "t"}}, "besides"),
    "sqlite": ({"secrets": {"databaseUrl": "sqlite:///a.db"}}, "databaseUrl"),
    "no-key": ({**_EXISTING, "controlPlane": {"masterKeyFromSecret": False}}, "MASTER_KEY_KMS"),
    "no-certificates": (
        {**_EXISTING, "certificates": {"certManager": {"enabled": False}}},
        "certificates.existing",
    ),
    "no-certificate-for-the-launcher": (
        {**_EXISTING, "launcher": {"enabled": True}, "certificates": _OWN_CERTIFICATES},
        "launcher",
    ),
    "no-certificate-for-keda": (
        {
            **_EXISTING,
            "launcher": {"enabled": True, "scaling": "keda"},
            "certificates": {
                **_OWN_CERTIFICATES,
                "existing": _OWN_CERTIFICATES["existing"] | _LAUNCHER_CERTIFICATE["existing"],
            },
        },
        "keda",
    ),
    "keda-without-a-launcher": ({**_EXISTING, "launcher": {"scaling": "keda"}}, "launcher.enabled"),
    "a-share-of-no-machine": (
        {**_EXISTING, "launcher": {"enabled": True, "memory": "80%"}},
        "memory",
    ),
    "certificates-twice": (
        {**_EXISTING, "certificates": {"existing": {"worker": "w"}}},
        "not from both",
    ),
    "unknown-value": ({**_EXISTING, "replicas": 3}, "replicas"),
    "unknown-layout": ({**_EXISTING, "layout": "both"}, "layout"),
    "unknown-setting": (
        {**_EXISTING, "worker": {"settings": {"MODELPLANE_LOGLEVEL": "debug"}}},
        "MODELPLANE_LOGLEVEL",
    ),
    "setting-of-the-chart": (
        {**_EXISTING, "worker": {"settings": {"MODELPLANE_TLS_CA": "/ca"}}},
        "MODELPLANE_TLS_CA",
    ),
    "nothing-to-scale-by": (
        {**_EXISTING, "worker": {"autoscaling": {"enabled": True, "inFlight": 0}}},
        "inFlight or cpu",
    ),
    "ingress-of-no-host": ({**_EXISTING, "ingress": {"enabled": True}}, "ingress.host"),
}
