CREATE TABLE public.access_token (
    id character varying NOT NULL,
    digest bytea NOT NULL,
    principal_id character varying NOT NULL,
    comment character varying NOT NULL,
    created_ms bigint NOT NULL,
    expiry_ms bigint
);
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.audit_event (
    id bigint NOT NULL,
    time_ms bigint NOT NULL,
    http_status integer NOT NULL,
    count integer NOT NULL,
    principal_id character varying NOT NULL,
    principal_name character varying NOT NULL,
    action character varying NOT NULL,
    object_type character varying NOT NULL,
    object_name character varying NOT NULL,
    outcome character varying NOT NULL,
    error_code character varying NOT NULL,
    request_id character varying NOT NULL,
    source_address character varying NOT NULL,
    details_json character varying NOT NULL
);
CREATE SEQUENCE public.audit_event_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.audit_event_id_seq OWNED BY public.audit_event.id;
CREATE TABLE public.client_secret (
    id character varying NOT NULL,
    principal_id character varying NOT NULL,
    digest bytea NOT NULL,
    created_ms bigint NOT NULL,
    expiry_ms bigint NOT NULL
);
CREATE TABLE public.credential (
    endpoint_id character varying NOT NULL,
    version integer NOT NULL,
    path character varying NOT NULL,
    sealed bytea NOT NULL
);
CREATE TABLE public.endpoint (
    id character varying NOT NULL,
    name character varying NOT NULL,
    creator character varying NOT NULL,
    created_ms bigint NOT NULL,
    updated_ms bigint NOT NULL,
    description character varying NOT NULL,
    budget_policy_id character varying,
    last_version integer NOT NULL,
    active_version integer,
    pending_version integer,
    phase character varying NOT NULL,
    phase_revision bigint NOT NULL,
    phase_deadline_ms bigint NOT NULL,
    last_update character varying NOT NULL,
    last_update_message character varying NOT NULL,
    ready boolean NOT NULL,
    activated_revision bigint NOT NULL,
    tags_json character varying NOT NULL,
    rate_limits_json character varying NOT NULL,
    ai_gateway_json character varying,
    email_notifications_json character varying,
    grants_json character varying DEFAULT '{}'::character varying NOT NULL,
    creator_id character varying DEFAULT ''::character varying NOT NULL
);
CREATE TABLE public.endpoint_config (
    endpoint_id character varying NOT NULL,
    version integer NOT NULL,
    config_json character varying NOT NULL,
    creator character varying NOT NULL,
    created_ms bigint NOT NULL,
    outcome character varying NOT NULL,
    outcome_message character varying NOT NULL
);
CREATE TABLE public.endpoint_metrics (
    endpoint_id character varying NOT NULL,
    totals_json character varying NOT NULL
);
CREATE TABLE public.event (
    revision bigint NOT NULL,
    kind character varying NOT NULL,
    key character varying NOT NULL
);
CREATE TABLE public.group_member (
    group_id character varying NOT NULL,
    principal_id character varying NOT NULL
);
CREATE TABLE public.issuer (
    issuer character varying NOT NULL,
    settings_json character varying NOT NULL,
    keys_json character varying NOT NULL
);
CREATE TABLE public.principal (
    id character varying NOT NULL,
    kind character varying NOT NULL,
    name character varying NOT NULL,
    display_name character varying NOT NULL,
    active boolean NOT NULL,
    created_ms bigint NOT NULL,
    tokens_valid_from_ms bigint NOT NULL
);
CREATE TABLE public.principal_group (
    id character varying NOT NULL,
    name character varying NOT NULL,
    created_ms bigint NOT NULL
);
CREATE TABLE public.quota (
    key bytea NOT NULL,
    "window" bigint NOT NULL,
    granted bigint NOT NULL,
    debt bigint NOT NULL
);
CREATE TABLE public.replica (
    id character varying NOT NULL,
    seen_ms bigint NOT NULL,
    workers integer NOT NULL,
    acked_revision bigint NOT NULL
);
CREATE TABLE public.revision (
    id integer NOT NULL,
    revision bigint NOT NULL,
    compacted bigint NOT NULL,
    store_id character varying NOT NULL
);
CREATE SEQUENCE public.revision_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.revision_id_seq OWNED BY public.revision.id;
CREATE TABLE public.secret (
    scope character varying NOT NULL,
    key character varying NOT NULL,
    sealed bytea NOT NULL,
    updated_ms bigint NOT NULL
);
CREATE TABLE public.secret_scope (
    name character varying NOT NULL,
    creator character varying NOT NULL,
    created_ms bigint NOT NULL,
    acl_json character varying DEFAULT '{}'::character varying NOT NULL,
    backend character varying DEFAULT 'DATABRICKS'::character varying NOT NULL
);
CREATE TABLE public.signing_key (
    id character varying NOT NULL,
    public_key bytea NOT NULL,
    sealed bytea NOT NULL,
    created_ms bigint NOT NULL
);
CREATE TABLE public.usage_journal (
    id character varying CONSTRAINT usage_journal_id_not_null1 NOT NULL,
    seen_ms bigint NOT NULL
);
CREATE TABLE public.usage_origin (
    id bytea NOT NULL,
    stored_ms bigint NOT NULL,
    endpoint_id character varying NOT NULL,
    endpoint_name character varying NOT NULL,
    tags_json character varying NOT NULL,
    config_version integer NOT NULL,
    served_entity_id character varying NOT NULL,
    served_entity_name character varying NOT NULL,
    task character varying NOT NULL,
    requester_id character varying NOT NULL,
    requester character varying NOT NULL
);
CREATE TABLE public.usage_query (
    id character varying NOT NULL,
    origin_id bytea NOT NULL,
    endpoint_id character varying NOT NULL,
    time_ms bigint NOT NULL,
    state character varying NOT NULL,
    request_id character varying NOT NULL,
    client_request_id character varying NOT NULL,
    usage_context_json character varying NOT NULL,
    streaming boolean NOT NULL,
    input_characters bigint NOT NULL,
    status_code integer,
    error character varying NOT NULL,
    input_tokens bigint,
    output_tokens bigint,
    cached_tokens bigint,
    reasoning_tokens bigint,
    estimated boolean NOT NULL,
    output_characters bigint NOT NULL,
    latency_ms double precision,
    first_chunk_ms double precision,
    attempts_json character varying NOT NULL
);
ALTER TABLE ONLY public.audit_event ALTER COLUMN id SET DEFAULT nextval('public.audit_event_id_seq'::regclass);
ALTER TABLE ONLY public.revision ALTER COLUMN id SET DEFAULT nextval('public.revision_id_seq'::regclass);
INSERT INTO public.access_token VALUES ('admin', '\x7ffbbc8ce84cb6f9b5cc94c4569f02f84db34744941c5c93507dda95b98ce5a7', '11354947011630', 'Admin token, from MODELPLANE_ADMIN_TOKEN', 1795901705516, NULL);
INSERT INTO public.access_token VALUES ('59249e3558be477b8bba7507e5fe2406', '\x3995acf40521ae6b32777400ed58242c3d64bda9d40a82e7b3630a7c6dabff38', '458872111781687', 'bob''s', 1795901706016, NULL);
INSERT INTO public.alembic_version VALUES ('0010');
INSERT INTO public.audit_event VALUES (1, 1795901705896, 200, 1, '11354947011630', 'admin', 'CreateUser', 'user', 'bob@example.com', 'OK', '', '232a1124-af7e-4d56-8a8d-e7745a42c045', '192.0.2.2', '{"user.user_name":"bob@example.com","user.display_name":"Bob"}');
INSERT INTO public.audit_event VALUES (2, 1795901705923, 200, 1, '11354947011630', 'admin', 'CreateServicePrincipal', 'service-principal', 'robot', 'OK', '', '180ce6dd-4135-4e84-a621-8c9a8c950e32', '192.0.2.2', '{"service_principal.display_name":"robot"}');
INSERT INTO public.audit_event VALUES (3, 1795901705948, 200, 1, '11354947011630', 'admin', 'CreateGroup', 'group', 'team', 'OK', '', '2323db3f-a386-4a95-92fd-f5bb086647de', '192.0.2.2', '{"group.display_name":"team","group.members[0].value":null}');
INSERT INTO public.audit_event VALUES (4, 1795901705972, 200, 1, '11354947011630', 'admin', 'CreateScope', 'secret-scope', 'team', 'OK', '', 'ce7ab621-cb46-413e-a37b-b8db205dcd43', '192.0.2.2', '{"scope":"team"}');
INSERT INTO public.audit_event VALUES (5, 1795901705987, 200, 1, '11354947011630', 'admin', 'PutSecret', 'secret', 'team/openai', 'OK', '', 'd5d3eb61-0b42-4c52-ae9c-0b623b46f94f', '192.0.2.2', '{"scope":"team","key":"openai","string_value":null}');
INSERT INTO public.audit_event VALUES (6, 1795901706003, 200, 1, '11354947011630', 'admin', 'PutAcl', 'secret-scope', 'team', 'OK', '', '50ca66f3-2b49-41a4-b119-431995724ebb', '192.0.2.2', '{"scope":"team","principal":"team","permission":"READ"}');
INSERT INTO public.audit_event VALUES (7, 1795901706015, 200, 1, '11354947011630', 'admin', 'CreateOnBehalfOfToken', 'access-token', 'bob@example.com', 'OK', '', '6c6a5f17-0e16-4fb7-af40-3767b0ae7bd3', '192.0.2.2', '{"application_id":"bob@example.com","comment":null}');
INSERT INTO public.audit_event VALUES (8, 1795901706038, 200, 1, '11354947011630', 'admin', 'CreateClientSecret', 'service-principal', '67483514807267', 'OK', '', 'a0838a02-2cc3-4133-967b-de799d2ec026', '192.0.2.2', '{"service_principal_id":null}');
INSERT INTO public.audit_event VALUES (9, 1795901706050, 200, 1, '11354947011630', 'admin', 'CreateServingEndpoint', 'serving-endpoint', 'chat', 'OK', '', '60be4b8a-a2bc-4eb6-94f9-e1ae6102e244', '192.0.2.2', '{"name":"chat","config.served_entities[0].name":"one","config.served_entities[0].external_model.name":"gpt-4","config.served_entities[0].external_model.provider":"openai","config.served_entities[0].external_model.task":"llm/v1/chat","config.served_entities[0].external_model.openai_config.openai_api_key":null,"ai_gateway.usage_tracking_config.enabled":true,"ai_gateway.rate_limits[0].calls":2000,"ai_gateway.rate_limits[0].renewal_period":"minute","ai_gateway.rate_limits[1].tokens":100000,"ai_gateway.rate_limits[1].key":"user_group","ai_gateway.rate_limits[1].principal":"team","ai_gateway.rate_limits[1].renewal_period":"minute","ai_gateway.fallback_config.enabled":true,"ai_gateway.retry_config.max_retries":0,"rate_limits[0].calls":1000,"rate_limits[0].key":"user","rate_limits[0].renewal_period":"minute","tags[0].key":"team","tags[0].value":null,"tags[1].key":"bare","description":null}');
INSERT INTO public.audit_event VALUES (10, 1795901706105, 200, 1, '11354947011630', 'admin', 'UpdateServingEndpointConfig', 'serving-endpoint', 'chat', 'OK', '', '4416c41b-f2dd-4763-9080-630392a5cdd2', '192.0.2.2', '{"name":"chat","config.served_entities[0].name":"one","config.served_entities[0].external_model.name":"gpt-4","config.served_entities[0].external_model.provider":"openai","config.served_entities[0].external_model.task":"llm/v1/chat","config.served_entities[0].external_model.openai_config.openai_api_key":null,"config.served_entities[1].name":"two","config.served_entities[1].external_model.name":"gpt-4","config.served_entities[1].external_model.provider":"openai","config.served_entities[1].external_model.task":"llm/v1/chat","config.served_entities[1].external_model.openai_config.openai_api_key_plaintext":null,"config.traffic_config.routes[0].served_model_name":"one","config.traffic_config.routes[0].traffic_percentage":70,"config.traffic_config.routes[1].served_entity_name":"two","config.traffic_config.routes[1].traffic_percentage":30}');
INSERT INTO public.audit_event VALUES (11, 1795901706153, 200, 1, '11354947011630', 'admin', 'CreateServingEndpoint', 'serving-endpoint', 'plain', 'OK', '', '85aa4432-0155-413c-8620-7e9585a7b398', '192.0.2.2', '{"name":"plain","config.served_entities[0].name":"only","config.served_entities[0].external_model.name":"gpt-4","config.served_entities[0].external_model.provider":"openai","config.served_entities[0].external_model.task":"llm/v1/chat","config.served_entities[0].external_model.openai_config.openai_api_key_plaintext":null}');
INSERT INTO public.audit_event VALUES (12, 1795901706195, 200, 1, '11354947011630', 'admin', 'CreateServingEndpoint', 'serving-endpoint', 'empty', 'OK', '', '3f351da7-ef63-4b26-bc3c-e48cf2d1f454', '192.0.2.2', '{"name":"empty"}');
INSERT INTO public.audit_event VALUES (13, 1795901706222, 200, 1, '11354947011630', 'admin', 'SetPermissions', 'serving-endpoint', 'ee1bb927ea8d4f85aea1c1f9a57ff9fd', 'OK', '', '4924288a-fee6-43b8-983d-52b731a333df', '192.0.2.2', '{"request_object_type":"serving-endpoints","request_object_id":"ee1bb927ea8d4f85aea1c1f9a57ff9fd","access_control_list[0].group_name":"team","access_control_list[0].permission_level":"CAN_QUERY","access_control_list[1].service_principal_name":"bab0264d-3221-4b4f-9b1f-16522c608081","access_control_list[1].permission_level":"CAN_VIEW"}');
INSERT INTO public.client_secret VALUES ('02b5ffbe-749b-4a02-83f5-caeb6795cc2f', '67483514807267', '\x7c4ab407e11266e74e994850943101b4cddabc8346cab41e1ca8ae92a79be7a2', 1795901706038, 1858973706038);
INSERT INTO public.credential VALUES ('ee1bb927ea8d4f85aea1c1f9a57ff9fd', 2, 'two/openai_config.openai_api_key_plaintext', '\x021061646638646133626661303930646333003c846814d91a4f957394875019418c00d92c2e4b62f3df645d4a306c1216b3bb251f3d29279e39e5ad9156e97b098c28f2b8e921541b715c47d89f6c9946472c51cf0427ebd620073d22aa25a020409f2d8d639ee48dff52d79c0fd33e56ca9bb709762a8d8fed859e2761b3c67577');
INSERT INTO public.credential VALUES ('782414b413914187aa95bb5eb728467b', 1, 'only/openai_config.openai_api_key_plaintext', '\x021061646638646133626661303930646333003c4d8077cc220167acb6fc73956d63e596bd7647d39cf7bd96307cb03c42fe0cc41cd3d65bf38fe104717a71d7b0f64a50066031da3c6ecc101803987bc998f489b497c2721835412d3528afb2d7036bd857ba2f1a7994720a85120676d0f60300fb4486fd7e0498aa22740c405280');
INSERT INTO public.endpoint VALUES ('782414b413914187aa95bb5eb728467b', 'plain', 'admin', 1795901706153, 1795901706179, '', NULL, 1, 1, NULL, '', 15, 1795901716169, 'NOT_UPDATING', '', true, 15, '[]', '[]', NULL, NULL, '{"11354947011630":"CAN_MANAGE"}', '11354947011630');
INSERT INTO public.endpoint VALUES ('4c28440993dc4f6987ceebf9ca631dc1', 'empty', 'admin', 1795901706195, 1795901706195, '', NULL, 0, NULL, NULL, '', 0, 0, 'NOT_UPDATING', '', false, 0, '[]', '[]', NULL, NULL, '{"11354947011630":"CAN_MANAGE"}', '11354947011630');
INSERT INTO public.endpoint VALUES ('ee1bb927ea8d4f85aea1c1f9a57ff9fd', 'chat', 'admin', 1795901706050, 1795901706140, 'Für alle — "quoted"', NULL, 2, 2, NULL, '', 13, 1795901716126, 'NOT_UPDATING', '', true, 13, '[{"key":"team","value":"a"},{"key":"bare"}]', '[{"calls":1000,"key":"user","renewal_period":"minute"}]', '{"fallback_config":{"enabled":true},"rate_limits":[{"calls":2000,"key":"endpoint","renewal_period":"minute"},{"key":"user_group","principal":"team","renewal_period":"minute","tokens":100000}],"retry_config":{"max_retries":0},"usage_tracking_config":{"enabled":true}}', NULL, '{"539463077536897":"CAN_QUERY","67483514807267":"CAN_VIEW","11354947011630":"CAN_MANAGE"}', '11354947011630');
INSERT INTO public.endpoint_config VALUES ('ee1bb927ea8d4f85aea1c1f9a57ff9fd', 1, '{"config_version":1,"served_entities":[{"creation_timestamp":1795901706055.0,"creator":"admin","external_model":{"name":"gpt-4","openai_config":{"openai_api_key":"{{secrets/team/openai}}"},"provider":"openai","task":"llm/v1/chat"},"name":"one","type":"EXTERNAL_MODEL"}],"traffic_config":{"routes":[{"served_entity_name":"one","served_model_name":"one","traffic_percentage":100}]}}', 'admin', 1795901706055, 'SUPERSEDED', '');
INSERT INTO public.endpoint_config VALUES ('ee1bb927ea8d4f85aea1c1f9a57ff9fd', 2, '{"config_version":2,"served_entities":[{"creation_timestamp":1795901706055.0,"creator":"admin","external_model":{"name":"gpt-4","openai_config":{"openai_api_key":"{{secrets/team/openai}}"},"provider":"openai","task":"llm/v1/chat"},"name":"one","type":"EXTERNAL_MODEL"},{"creation_timestamp":1795901706109.0,"creator":"admin","external_model":{"name":"gpt-4","openai_config":{},"provider":"openai","task":"llm/v1/chat"},"name":"two","type":"EXTERNAL_MODEL"}],"traffic_config":{"routes":[{"served_entity_name":"one","served_model_name":"one","traffic_percentage":70},{"served_entity_name":"two","served_model_name":"two","traffic_percentage":30}]}}', 'admin', 1795901706109, 'ACTIVE', '');
INSERT INTO public.endpoint_config VALUES ('782414b413914187aa95bb5eb728467b', 1, '{"config_version":1,"served_entities":[{"creation_timestamp":1795901706155.0,"creator":"admin","external_model":{"name":"gpt-4","openai_config":{},"provider":"openai","task":"llm/v1/chat"},"name":"only","type":"EXTERNAL_MODEL"}],"traffic_config":{"routes":[{"served_entity_name":"only","served_model_name":"only","traffic_percentage":100}]}}', 'admin', 1795901706155, 'ACTIVE', '');
INSERT INTO public.endpoint_metrics VALUES ('ee1bb927ea8d4f85aea1c1f9a57ff9fd', '{"entities":{"one":{"requests":{"200":2},"latency":[0,1,1,0,0,0,0,0,0,0,0,0,0,0,0,0],"latency_sum_ms":33.763625999199576,"input_tokens":18,"output_tokens":8},"two":{"requests":{"200":2},"latency":[0,1,1,0,0,0,0,0,0,0,0,0,0,0,0,0],"latency_sum_ms":20.455472000321606,"input_tokens":18,"output_tokens":8}},"slots":{"359180342":{"one":{"requests":2,"client_errors":0,"server_errors":0},"two":{"requests":2,"client_errors":0,"server_errors":0}}},"reporters":{"390cf4f8af3f1d6a":{"sequence":1,"in_flight":0,"seen_ms":1795901710047}}}');
INSERT INTO public.event VALUES (1, 'principal', '11354947011630');
INSERT INTO public.event VALUES (2, 'token', 'admin');
INSERT INTO public.event VALUES (3, 'issuer', 'urn:modelplane:d94c181cb89943f9a6eba24242c50eb7');
INSERT INTO public.event VALUES (4, 'issuer', 'http://127.0.0.1:43287');
INSERT INTO public.event VALUES (5, 'issuer', 'http://127.0.0.1:43287');
INSERT INTO public.event VALUES (6, 'principal', '458872111781687');
INSERT INTO public.event VALUES (7, 'principal', '67483514807267');
INSERT INTO public.event VALUES (8, 'principal', '458872111781687');
INSERT INTO public.event VALUES (9, 'token', '59249e3558be477b8bba7507e5fe2406');
INSERT INTO public.event VALUES (10, 'endpoint', 'ee1bb927ea8d4f85aea1c1f9a57ff9fd');
INSERT INTO public.event VALUES (11, 'endpoint', 'ee1bb927ea8d4f85aea1c1f9a57ff9fd');
INSERT INTO public.event VALUES (12, 'endpoint', 'ee1bb927ea8d4f85aea1c1f9a57ff9fd');
INSERT INTO public.event VALUES (13, 'endpoint', 'ee1bb927ea8d4f85aea1c1f9a57ff9fd');
INSERT INTO public.event VALUES (14, 'endpoint', '782414b413914187aa95bb5eb728467b');
INSERT INTO public.event VALUES (15, 'endpoint', '782414b413914187aa95bb5eb728467b');
INSERT INTO public.event VALUES (16, 'endpoint', '4c28440993dc4f6987ceebf9ca631dc1');
INSERT INTO public.event VALUES (17, 'endpoint', 'ee1bb927ea8d4f85aea1c1f9a57ff9fd');
INSERT INTO public.group_member VALUES ('1', '11354947011630');
INSERT INTO public.group_member VALUES ('539463077536897', '458872111781687');
INSERT INTO public.issuer VALUES ('http://127.0.0.1:43287', '{"audiences":["modelplane"],"issuer":"http://127.0.0.1:43287","principal_claim":"sub"}', '[{"algorithm":"RS256","key_id":"key-RS256","public_key":"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAiX50Tl6NA115J3m0AQHoBfYbED35ZwWzajGhIWYfrsliorqmS8A3bMoehSV96WTU4MCw9TkvEUj7NxuCgPcBLwGXi5hkvomA8F0M5KOfRM3Ycirv+dn1FRYHbyTt/MHz77bv+ucNg2FkpOqHTr9Bz8Sb0yECVmiiaj/VW5D2QdFOds2QxZqpgpJ6qCbvmqjiMm65FYdEypPZ+vSl1pAQQzOQDVXCD5GElgdEz5+A95B0Jgc5qAqhYbgEeKgFmadl2AMnIuC/knIQTHsh2TbNSsSPF3sJaiT2hoXk5uH+CcrMswauDIXskYYS2AIuin1uHv5zRIMVgigX7U8NKJqRsQIDAQAB"}]');
INSERT INTO public.principal VALUES ('11354947011630', 'user', 'admin', 'admin', true, 1795901705504, 0);
INSERT INTO public.principal VALUES ('458872111781687', 'user', 'bob@example.com', 'Bob', true, 1795901705897, 0);
INSERT INTO public.principal VALUES ('67483514807267', 'service_principal', 'bab0264d-3221-4b4f-9b1f-16522c608081', 'robot', true, 1795901705924, 0);
INSERT INTO public.principal_group VALUES ('1', 'admins', 1795901705504);
INSERT INTO public.principal_group VALUES ('2', 'users', 1795901705504);
INSERT INTO public.principal_group VALUES ('539463077536897', 'team', 1795901705948);
INSERT INTO public.quota VALUES ('\x4adb58e1469c53c885193d20448751b8', 29931695, 2, 0);
INSERT INTO public.quota VALUES ('\x72aee96de8a844b35e3ada78f6705bca', 29931695, 2, 0);
INSERT INTO public.quota VALUES ('\x4e3c7101ae20aaf370093466540262da', 29931695, 26, 0);
INSERT INTO public.quota VALUES ('\xe2cda2a52bd339775d2556684d87bbe4', 29931695, 4, 0);
INSERT INTO public.revision VALUES (1, 17, 0, 'd94c181cb89943f9a6eba24242c50eb7');
INSERT INTO public.secret VALUES ('team', 'openai', '\x021061646638646133626661303930646333003c6dd6f358eb07ff637b1be6a9bbad97a7ae82a5459b10d9a35c90b3ea72d19e7187701848b78e3917e479418babdea7d3674f3cad87a287084386f06165e62f9fc35154eb5836dc1168fa99ef301ad2288d7c0513f15ad152ba87284647f8151cbc8f766ede8124d345b01fb3d27f', 1795901705989);
INSERT INTO public.secret_scope VALUES ('team', 'admin', 1795901705972, '{"11354947011630":"MANAGE","539463077536897":"READ"}', 'DATABRICKS');
INSERT INTO public.signing_key VALUES ('a393ce910ed2eb45', '\x302a300506032b6570032100c4a8311f877a0ff9c5fd1024a6cf40be588977778c19bc94a2cf7fe3eef1646b', '\x021061646638646133626661303930646333003c00a503ce2308db475d13c7bd3d2210bf3469b3673404c2ea1c308f1ca24c7fcdf8f6fcb2b708fa161a16c1f94cae334f45219fad277990144caa6ed5172564513c77e2c7260fac54c2b77a930c1f50702b82bc1064eed69e3bf1be20fd154f5655af97b69f00627d0f3b2b49589354001fd436ee3b244b92', 1795901705521);
INSERT INTO public.usage_journal VALUES ('34c5801035df5722', 1795901707044);
INSERT INTO public.usage_origin VALUES ('\x5a760ccd72e08c92ad5073c2449d1d68', 1795824000000, 'ee1bb927ea8d4f85aea1c1f9a57ff9fd', 'chat', '[{"key":"team","value":"a"},{"key":"bare"}]', 2, '58c9f7e2a01e51359c485e231a064975', 'two', 'llm/v1/chat', '11354947011630', 'admin');
INSERT INTO public.usage_origin VALUES ('\x9b8a135417c6b3ecec10ed05097ae751', 1795824000000, 'ee1bb927ea8d4f85aea1c1f9a57ff9fd', 'chat', '[{"key":"team","value":"a"},{"key":"bare"}]', 2, '7db30f8d6c295f4dadb1b000942a125e', 'one', 'llm/v1/chat', '458872111781687', 'bob@example.com');
INSERT INTO public.usage_origin VALUES ('\xc8f8ce19689476baa4e98090cff4d1d0', 1795824000000, 'ee1bb927ea8d4f85aea1c1f9a57ff9fd', 'chat', '[{"key":"team","value":"a"},{"key":"bare"}]', 2, '58c9f7e2a01e51359c485e231a064975', 'two', 'llm/v1/chat', '458872111781687', 'bob@example.com');
INSERT INTO public.usage_origin VALUES ('\xe56968ca6a5d786205f7995e99f5d6d9', 1795824000000, 'ee1bb927ea8d4f85aea1c1f9a57ff9fd', 'chat', '[{"key":"team","value":"a"},{"key":"bare"}]', 2, '7db30f8d6c295f4dadb1b000942a125e', 'one', 'llm/v1/chat', '11354947011630', 'admin');
INSERT INTO public.usage_query VALUES ('34c5801035df57220000000000000001', '\xe56968ca6a5d786205f7995e99f5d6d9', 'ee1bb927ea8d4f85aea1c1f9a57ff9fd', 1795901706255, 'ENDED', 'ba106944-304a-4115-b590-dd104b723555', '', '{}', false, 10, 200, '', 9, 4, 0, 0, false, 23, 23.868952999691828, NULL, '[3.0]');
INSERT INTO public.usage_query VALUES ('34c5801035df57220000000000000002', '\x5a760ccd72e08c92ad5073c2449d1d68', 'ee1bb927ea8d4f85aea1c1f9a57ff9fd', 1795901706281, 'ENDED', '02aa0b56-5da9-4c86-b01a-8ae30cb17b17', '', '{}', false, 10, 200, '', 9, 4, 0, 0, false, 23, 11.001406001014402, NULL, '[1.0]');
INSERT INTO public.usage_query VALUES ('34c5801035df57220000000000000003', '\x9b8a135417c6b3ecec10ed05097ae751', 'ee1bb927ea8d4f85aea1c1f9a57ff9fd', 1795901706294, 'ENDED', '7fb0eb4d-4fad-4f16-87b4-bee876ed3102', '', '{}', false, 10, 200, '', 9, 4, 0, 0, false, 23, 9.935693999068462, NULL, '[1.0]');
INSERT INTO public.usage_query VALUES ('34c5801035df57220000000000000004', '\xc8f8ce19689476baa4e98090cff4d1d0', 'ee1bb927ea8d4f85aea1c1f9a57ff9fd', 1795901706306, 'ENDED', 'e1473384-0e3e-4148-89f9-c4ec14b66684', '', '{}', false, 10, 200, '', 9, 4, 0, 0, false, 23, 9.487865998380585, NULL, '[3.0]');
SELECT pg_catalog.setval('public.audit_event_id_seq', 13, true);
SELECT pg_catalog.setval('public.revision_id_seq', 1, false);
ALTER TABLE ONLY public.access_token
    ADD CONSTRAINT access_token_digest_key UNIQUE (digest);
ALTER TABLE ONLY public.access_token
    ADD CONSTRAINT access_token_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.audit_event
    ADD CONSTRAINT audit_event_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.client_secret
    ADD CONSTRAINT client_secret_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.credential
    ADD CONSTRAINT credential_pkey PRIMARY KEY (endpoint_id, version, path);
ALTER TABLE ONLY public.endpoint_config
    ADD CONSTRAINT endpoint_config_pkey PRIMARY KEY (endpoint_id, version);
ALTER TABLE ONLY public.endpoint_metrics
    ADD CONSTRAINT endpoint_metrics_pkey PRIMARY KEY (endpoint_id);
ALTER TABLE ONLY public.endpoint
    ADD CONSTRAINT endpoint_name_key UNIQUE (name);
ALTER TABLE ONLY public.endpoint
    ADD CONSTRAINT endpoint_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (revision);
ALTER TABLE ONLY public.group_member
    ADD CONSTRAINT group_member_pkey PRIMARY KEY (group_id, principal_id);
ALTER TABLE ONLY public.issuer
    ADD CONSTRAINT issuer_pkey PRIMARY KEY (issuer);
ALTER TABLE ONLY public.principal_group
    ADD CONSTRAINT principal_group_name_key UNIQUE (name);
ALTER TABLE ONLY public.principal_group
    ADD CONSTRAINT principal_group_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.principal
    ADD CONSTRAINT principal_name_key UNIQUE (name);
ALTER TABLE ONLY public.principal
    ADD CONSTRAINT principal_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.quota
    ADD CONSTRAINT quota_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.replica
    ADD CONSTRAINT replica_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.revision
    ADD CONSTRAINT revision_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.secret
    ADD CONSTRAINT secret_pkey PRIMARY KEY (scope, key);
ALTER TABLE ONLY public.secret_scope
    ADD CONSTRAINT secret_scope_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.signing_key
    ADD CONSTRAINT signing_key_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.usage_journal
    ADD CONSTRAINT usage_journal_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.usage_origin
    ADD CONSTRAINT usage_origin_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.usage_query
    ADD CONSTRAINT usage_query_pkey PRIMARY KEY (id);
CREATE INDEX ix_access_token_principal_id ON public.access_token USING btree (principal_id);
CREATE INDEX ix_audit_event_time_ms ON public.audit_event USING btree (time_ms);
CREATE INDEX ix_client_secret_principal_id ON public.client_secret USING btree (principal_id);
CREATE INDEX ix_endpoint_phase ON public.endpoint USING btree (phase);
CREATE INDEX ix_endpoint_ready ON public.endpoint USING btree (ready);
CREATE INDEX ix_group_member_principal_id ON public.group_member USING btree (principal_id);
CREATE INDEX ix_usage_journal_seen_ms ON public.usage_journal USING btree (seen_ms);
CREATE INDEX ix_usage_origin_endpoint_name ON public.usage_origin USING btree (endpoint_name);
CREATE INDEX ix_usage_origin_requester ON public.usage_origin USING btree (requester);
CREATE INDEX ix_usage_origin_stored_ms ON public.usage_origin USING btree (stored_ms);
CREATE INDEX usage_query_endpoint ON public.usage_query USING btree (endpoint_id, time_ms);
CREATE INDEX usage_query_origin ON public.usage_query USING btree (origin_id);
CREATE INDEX usage_query_running ON public.usage_query USING btree (id) WHERE ((state)::text = 'RUNNING'::text);
CREATE INDEX usage_query_time ON public.usage_query USING btree (time_ms);
ALTER TABLE ONLY public.access_token
    ADD CONSTRAINT access_token_principal_id_fkey FOREIGN KEY (principal_id) REFERENCES public.principal(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.client_secret
    ADD CONSTRAINT client_secret_principal_id_fkey FOREIGN KEY (principal_id) REFERENCES public.principal(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.credential
    ADD CONSTRAINT credential_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES public.endpoint(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.endpoint_config
    ADD CONSTRAINT endpoint_config_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES public.endpoint(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.endpoint_metrics
    ADD CONSTRAINT endpoint_metrics_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES public.endpoint(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.group_member
    ADD CONSTRAINT group_member_group_id_fkey FOREIGN KEY (group_id) REFERENCES public.principal_group(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.group_member
    ADD CONSTRAINT group_member_principal_id_fkey FOREIGN KEY (principal_id) REFERENCES public.principal(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.secret
    ADD CONSTRAINT secret_scope_fkey FOREIGN KEY (scope) REFERENCES public.secret_scope(name) ON DELETE CASCADE;
