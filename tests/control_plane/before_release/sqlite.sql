BEGIN TRANSACTION;
CREATE TABLE access_token (
	id VARCHAR NOT NULL,
	digest BLOB NOT NULL,
	principal_id VARCHAR NOT NULL,
	comment VARCHAR NOT NULL,
	created_ms BIGINT NOT NULL,
	expiry_ms BIGINT,
	PRIMARY KEY (id),
	UNIQUE (digest),
	FOREIGN KEY(principal_id) REFERENCES principal (id) ON DELETE CASCADE
);
INSERT INTO "access_token" VALUES('admin',X'7FFBBC8CE84CB6F9B5CC94C4569F02F84DB34744941C5C93507DDA95B98CE5A7','66041600137436','Admin token, from MODELPLANE_ADMIN_TOKEN',1795901676852,NULL);
INSERT INTO "access_token" VALUES('9b5f4f48d2e846348d9e4faae18d1372',X'AD4BFCA3B0F8D9657DA2DE7C851C1453EFC5363BC66869EB6700CD4278B539EC','60499462262746','bob''s',1795901677768,NULL);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0010');
CREATE TABLE audit_event (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	time_ms BIGINT NOT NULL,
	http_status INTEGER NOT NULL,
	count INTEGER NOT NULL,
	principal_id VARCHAR NOT NULL,
	principal_name VARCHAR NOT NULL,
	action VARCHAR NOT NULL,
	object_type VARCHAR NOT NULL,
	object_name VARCHAR NOT NULL,
	outcome VARCHAR NOT NULL,
	error_code VARCHAR NOT NULL,
	request_id VARCHAR NOT NULL,
	source_address VARCHAR NOT NULL,
	details_json VARCHAR NOT NULL
);
INSERT INTO "audit_event" VALUES(1,1795901677687,200,1,'66041600137436','admin','CreateUser','user','bob@example.com','OK','','9a631267-4e31-4a62-9281-e9398ad9dc17','192.0.2.2','{"user.user_name":"bob@example.com","user.display_name":"Bob"}');
INSERT INTO "audit_event" VALUES(2,1795901677704,200,1,'66041600137436','admin','CreateServicePrincipal','service-principal','robot','OK','','d2c30b4c-b636-4b4f-80a5-61acf42528ae','192.0.2.2','{"service_principal.display_name":"robot"}');
INSERT INTO "audit_event" VALUES(3,1795901677718,200,1,'66041600137436','admin','CreateGroup','group','team','OK','','45d28d6f-f8ba-4eb0-bb19-0124095ed03c','192.0.2.2','{"group.display_name":"team","group.members[0].value":null}');
INSERT INTO "audit_event" VALUES(4,1795901677733,200,1,'66041600137436','admin','CreateScope','secret-scope','team','OK','','4977b802-b109-4991-81e9-e430c97ff50c','192.0.2.2','{"scope":"team"}');
INSERT INTO "audit_event" VALUES(5,1795901677744,200,1,'66041600137436','admin','PutSecret','secret','team/openai','OK','','a7e366c3-b1ad-493a-96b4-a9eaa4de3870','192.0.2.2','{"scope":"team","key":"openai","string_value":null}');
INSERT INTO "audit_event" VALUES(6,1795901677756,200,1,'66041600137436','admin','PutAcl','secret-scope','team','OK','','180b74f2-4bf5-4514-bc19-9d3d5b77a7ef','192.0.2.2','{"scope":"team","principal":"team","permission":"READ"}');
INSERT INTO "audit_event" VALUES(7,1795901677767,200,1,'66041600137436','admin','CreateOnBehalfOfToken','access-token','bob@example.com','OK','','09658b63-21ba-4946-ba53-09f5dced15ef','192.0.2.2','{"application_id":"bob@example.com","comment":null}');
INSERT INTO "audit_event" VALUES(8,1795901677782,200,1,'66041600137436','admin','CreateClientSecret','service-principal','492149926122221','OK','','81ad7fac-d01f-42b1-896f-8d11c5e23b4a','192.0.2.2','{"service_principal_id":null}');
INSERT INTO "audit_event" VALUES(9,1795901677791,200,1,'66041600137436','admin','CreateServingEndpoint','serving-endpoint','chat','OK','','5b6c77b2-2885-41c5-97af-6df0a2fbebd7','192.0.2.2','{"name":"chat","config.served_entities[0].name":"one","config.served_entities[0].external_model.name":"gpt-4","config.served_entities[0].external_model.provider":"openai","config.served_entities[0].external_model.task":"llm/v1/chat","config.served_entities[0].external_model.openai_config.openai_api_key":null,"ai_gateway.usage_tracking_config.enabled":true,"ai_gateway.rate_limits[0].calls":2000,"ai_gateway.rate_limits[0].renewal_period":"minute","ai_gateway.rate_limits[1].tokens":100000,"ai_gateway.rate_limits[1].key":"user_group","ai_gateway.rate_limits[1].principal":"team","ai_gateway.rate_limits[1].renewal_period":"minute","ai_gateway.fallback_config.enabled":true,"ai_gateway.retry_config.max_retries":0,"rate_limits[0].calls":1000,"rate_limits[0].key":"user","rate_limits[0].renewal_period":"minute","tags[0].key":"team","tags[0].value":null,"tags[1].key":"bare","description":null}');
INSERT INTO "audit_event" VALUES(10,1795901677828,200,1,'66041600137436','admin','UpdateServingEndpointConfig','serving-endpoint','chat','OK','','2cd20ead-07e7-4652-9a88-a6ec473ef25f','192.0.2.2','{"name":"chat","config.served_entities[0].name":"one","config.served_entities[0].external_model.name":"gpt-4","config.served_entities[0].external_model.provider":"openai","config.served_entities[0].external_model.task":"llm/v1/chat","config.served_entities[0].external_model.openai_config.openai_api_key":null,"config.served_entities[1].name":"two","config.served_entities[1].external_model.name":"gpt-4","config.served_entities[1].external_model.provider":"openai","config.served_entities[1].external_model.task":"llm/v1/chat","config.served_entities[1].external_model.openai_config.openai_api_key_plaintext":null,"config.traffic_config.routes[0].served_model_name":"one","config.traffic_config.routes[0].traffic_percentage":70,"config.traffic_config.routes[1].served_entity_name":"two","config.traffic_config.routes[1].traffic_percentage":30}');
INSERT INTO "audit_event" VALUES(11,1795901677858,200,1,'66041600137436','admin','CreateServingEndpoint','serving-endpoint','plain','OK','','0adf34a2-1e56-4c4a-9dc5-606a9b1e39c9','192.0.2.2','{"name":"plain","config.served_entities[0].name":"only","config.served_entities[0].external_model.name":"gpt-4","config.served_entities[0].external_model.provider":"openai","config.served_entities[0].external_model.task":"llm/v1/chat","config.served_entities[0].external_model.openai_config.openai_api_key_plaintext":null}');
INSERT INTO "audit_event" VALUES(12,1795901677885,200,1,'66041600137436','admin','CreateServingEndpoint','serving-endpoint','empty','OK','','b35543f6-6c2b-4689-afb9-258fa136d7e7','192.0.2.2','{"name":"empty"}');
INSERT INTO "audit_event" VALUES(13,1795901677916,200,1,'66041600137436','admin','SetPermissions','serving-endpoint','0a86a68733d5485093132755cc257a94','OK','','6d161ff1-5077-4535-a78c-d935e7440012','192.0.2.2','{"request_object_type":"serving-endpoints","request_object_id":"0a86a68733d5485093132755cc257a94","access_control_list[0].group_name":"team","access_control_list[0].permission_level":"CAN_QUERY","access_control_list[1].service_principal_name":"1c9abb52-dcab-4198-939d-a829d74b7aea","access_control_list[1].permission_level":"CAN_VIEW"}');
CREATE TABLE client_secret (
	id VARCHAR NOT NULL,
	principal_id VARCHAR NOT NULL,
	digest BLOB NOT NULL,
	created_ms BIGINT NOT NULL,
	expiry_ms BIGINT NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(principal_id) REFERENCES principal (id) ON DELETE CASCADE
);
INSERT INTO "client_secret" VALUES('60d7219c-c5ba-440c-9777-ec5425a04f58','492149926122221',X'6501692AF68B3E0D31BF983E7C394B287A47CF2249B28622F9FE2784DAFA9C35',1795901677782,1858973677782);
CREATE TABLE credential (
	endpoint_id VARCHAR NOT NULL,
	version INTEGER NOT NULL,
	path VARCHAR NOT NULL,
	sealed BLOB NOT NULL,
	PRIMARY KEY (endpoint_id, version, path),
	FOREIGN KEY(endpoint_id) REFERENCES endpoint (id) ON DELETE CASCADE
);
INSERT INTO "credential" VALUES('0a86a68733d5485093132755cc257a94',2,'two/openai_config.openai_api_key_plaintext',X'021061646638646133626661303930646333003CFF6BCA57DF1683A06F91331FF963DEA37BE0A84E28D047A7F36468EDF1D37AFB1F3864B0D9340E8DAA8AC25CA12A92EC71D173C15F6681D1F9B6C12E111D0B4899FE13A15D5866EE1DFAA18C1F86648D7940A9C65A59AA622D71AA537E487290BB15FB3BE49D7E03C82D7564D07A');
INSERT INTO "credential" VALUES('ac349eb9117e4abb867e7c64e82c42ff',1,'only/openai_config.openai_api_key_plaintext',X'021061646638646133626661303930646333003C92929D3FB5E1A4168CA03A0E3706C27D4E7871FEFFF88BD38139212CA08B48693D5F47791F24C8D21B43CAD447FC0A2C848F77C964497BCD2013892159AE70D0C7202152D82CCE4582D6FC4E53BB33EEE5179A545285B74280CCC32AC70E1BAEB3C68269034F1B8EC83416BEE827');
CREATE TABLE endpoint (
	id VARCHAR NOT NULL,
	name VARCHAR NOT NULL,
	creator VARCHAR NOT NULL,
	created_ms BIGINT NOT NULL,
	updated_ms BIGINT NOT NULL,
	description VARCHAR NOT NULL,
	budget_policy_id VARCHAR,
	last_version INTEGER NOT NULL,
	active_version INTEGER,
	pending_version INTEGER,
	phase VARCHAR NOT NULL,
	phase_revision BIGINT NOT NULL,
	phase_deadline_ms BIGINT NOT NULL,
	last_update VARCHAR NOT NULL,
	last_update_message VARCHAR NOT NULL,
	ready BOOLEAN NOT NULL,
	activated_revision BIGINT NOT NULL,
	tags_json VARCHAR NOT NULL,
	rate_limits_json VARCHAR NOT NULL,
	ai_gateway_json VARCHAR,
	email_notifications_json VARCHAR, grants_json VARCHAR DEFAULT '{}' NOT NULL, creator_id VARCHAR DEFAULT '' NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (name)
);
INSERT INTO "endpoint" VALUES('0a86a68733d5485093132755cc257a94','chat','admin',1795901677791,1795901677847,'Für alle — "quoted"',NULL,2,2,NULL,'',13,1795901687841,'NOT_UPDATING','',1,13,'[{"key":"team","value":"a"},{"key":"bare"}]','[{"calls":1000,"key":"user","renewal_period":"minute"}]','{"fallback_config":{"enabled":true},"rate_limits":[{"calls":2000,"key":"endpoint","renewal_period":"minute"},{"key":"user_group","principal":"team","renewal_period":"minute","tokens":100000}],"retry_config":{"max_retries":0},"usage_tracking_config":{"enabled":true}}',NULL,'{"285577199820019":"CAN_QUERY","492149926122221":"CAN_VIEW","66041600137436":"CAN_MANAGE"}','66041600137436');
INSERT INTO "endpoint" VALUES('ac349eb9117e4abb867e7c64e82c42ff','plain','admin',1795901677858,1795901677874,'',NULL,1,1,NULL,'',15,1795901687869,'NOT_UPDATING','',1,15,'[]','[]',NULL,NULL,'{"66041600137436":"CAN_MANAGE"}','66041600137436');
INSERT INTO "endpoint" VALUES('1c26c80d159444e1953dd1d4ddc14c2b','empty','admin',1795901677885,1795901677885,'',NULL,0,NULL,NULL,'',0,0,'NOT_UPDATING','',0,0,'[]','[]',NULL,NULL,'{"66041600137436":"CAN_MANAGE"}','66041600137436');
CREATE TABLE endpoint_config (
	endpoint_id VARCHAR NOT NULL,
	version INTEGER NOT NULL,
	config_json VARCHAR NOT NULL,
	creator VARCHAR NOT NULL,
	created_ms BIGINT NOT NULL,
	outcome VARCHAR NOT NULL,
	outcome_message VARCHAR NOT NULL,
	PRIMARY KEY (endpoint_id, version),
	FOREIGN KEY(endpoint_id) REFERENCES endpoint (id) ON DELETE CASCADE
);
INSERT INTO "endpoint_config" VALUES('0a86a68733d5485093132755cc257a94',1,'{"config_version":1,"served_entities":[{"creation_timestamp":1795901677797.0,"creator":"admin","external_model":{"name":"gpt-4","openai_config":{"openai_api_key":"{{secrets/team/openai}}"},"provider":"openai","task":"llm/v1/chat"},"name":"one","type":"EXTERNAL_MODEL"}],"traffic_config":{"routes":[{"served_entity_name":"one","served_model_name":"one","traffic_percentage":100}]}}','admin',1795901677797,'SUPERSEDED','');
INSERT INTO "endpoint_config" VALUES('0a86a68733d5485093132755cc257a94',2,'{"config_version":2,"served_entities":[{"creation_timestamp":1795901677797.0,"creator":"admin","external_model":{"name":"gpt-4","openai_config":{"openai_api_key":"{{secrets/team/openai}}"},"provider":"openai","task":"llm/v1/chat"},"name":"one","type":"EXTERNAL_MODEL"},{"creation_timestamp":1795901677831.0,"creator":"admin","external_model":{"name":"gpt-4","openai_config":{},"provider":"openai","task":"llm/v1/chat"},"name":"two","type":"EXTERNAL_MODEL"}],"traffic_config":{"routes":[{"served_entity_name":"one","served_model_name":"one","traffic_percentage":70},{"served_entity_name":"two","served_model_name":"two","traffic_percentage":30}]}}','admin',1795901677831,'ACTIVE','');
INSERT INTO "endpoint_config" VALUES('ac349eb9117e4abb867e7c64e82c42ff',1,'{"config_version":1,"served_entities":[{"creation_timestamp":1795901677859.0,"creator":"admin","external_model":{"name":"gpt-4","openai_config":{},"provider":"openai","task":"llm/v1/chat"},"name":"only","type":"EXTERNAL_MODEL"}],"traffic_config":{"routes":[{"served_entity_name":"only","served_model_name":"only","traffic_percentage":100}]}}','admin',1795901677859,'ACTIVE','');
CREATE TABLE endpoint_metrics (
	endpoint_id VARCHAR NOT NULL,
	totals_json VARCHAR NOT NULL,
	PRIMARY KEY (endpoint_id),
	FOREIGN KEY(endpoint_id) REFERENCES endpoint (id) ON DELETE CASCADE
);
INSERT INTO "endpoint_metrics" VALUES('0a86a68733d5485093132755cc257a94','{"entities":{"one":{"requests":{"200":2},"latency":[0,1,0,1,0,0,0,0,0,0,0,0,0,0,0,0],"latency_sum_ms":37.389849001556286,"input_tokens":18,"output_tokens":8},"two":{"requests":{"200":2},"latency":[0,2,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"latency_sum_ms":15.28286000029766,"input_tokens":18,"output_tokens":8}},"slots":{"359180336":{"one":{"requests":2,"client_errors":0,"server_errors":0},"two":{"requests":2,"client_errors":0,"server_errors":0}}},"reporters":{"524d701006d893fd":{"sequence":1,"in_flight":0,"seen_ms":1795901681272}}}');
CREATE TABLE event (
	revision BIGINT NOT NULL,
	kind VARCHAR NOT NULL,
	"key" VARCHAR NOT NULL,
	PRIMARY KEY (revision)
);
INSERT INTO "event" VALUES(1,'principal','66041600137436');
INSERT INTO "event" VALUES(2,'token','admin');
INSERT INTO "event" VALUES(3,'issuer','urn:modelplane:d759f91e2e3145409a7a91e601cd0146');
INSERT INTO "event" VALUES(4,'issuer','http://127.0.0.1:38253');
INSERT INTO "event" VALUES(5,'issuer','http://127.0.0.1:38253');
INSERT INTO "event" VALUES(6,'principal','60499462262746');
INSERT INTO "event" VALUES(7,'principal','492149926122221');
INSERT INTO "event" VALUES(8,'principal','60499462262746');
INSERT INTO "event" VALUES(9,'token','9b5f4f48d2e846348d9e4faae18d1372');
INSERT INTO "event" VALUES(10,'endpoint','0a86a68733d5485093132755cc257a94');
INSERT INTO "event" VALUES(11,'endpoint','0a86a68733d5485093132755cc257a94');
INSERT INTO "event" VALUES(12,'endpoint','0a86a68733d5485093132755cc257a94');
INSERT INTO "event" VALUES(13,'endpoint','0a86a68733d5485093132755cc257a94');
INSERT INTO "event" VALUES(14,'endpoint','ac349eb9117e4abb867e7c64e82c42ff');
INSERT INTO "event" VALUES(15,'endpoint','ac349eb9117e4abb867e7c64e82c42ff');
INSERT INTO "event" VALUES(16,'endpoint','1c26c80d159444e1953dd1d4ddc14c2b');
INSERT INTO "event" VALUES(17,'endpoint','0a86a68733d5485093132755cc257a94');
CREATE TABLE group_member (
	group_id VARCHAR NOT NULL,
	principal_id VARCHAR NOT NULL,
	PRIMARY KEY (group_id, principal_id),
	FOREIGN KEY(group_id) REFERENCES principal_group (id) ON DELETE CASCADE,
	FOREIGN KEY(principal_id) REFERENCES principal (id) ON DELETE CASCADE
);
INSERT INTO "group_member" VALUES('1','66041600137436');
INSERT INTO "group_member" VALUES('285577199820019','60499462262746');
CREATE TABLE issuer (
	issuer VARCHAR NOT NULL,
	settings_json VARCHAR NOT NULL,
	keys_json VARCHAR NOT NULL,
	PRIMARY KEY (issuer)
);
INSERT INTO "issuer" VALUES('http://127.0.0.1:38253','{"audiences":["modelplane"],"issuer":"http://127.0.0.1:38253","principal_claim":"sub"}','[{"algorithm":"RS256","key_id":"key-RS256","public_key":"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsHwmCcWWtEa33dDE3BoIXC6Jc4lORxpIXBZ8Hv8L8mOyfG5rKj4x3HwSdrOimsAUrImb2eH0Y5IgWDt9vhD3H9t1JB7FkNOSAKjrZYo0aYhcl6WU1gJIe3r4iJg9LhZDx09KlmGTMTXl/D4VgJ2XC3ZC+mKcFjYXZNIcNRtb9QZ+Irk4duc7/nEFK2xbkIQu0kWrJkCxPL7cnYbacS7KRgC4z64XiW0LricqWjEI/HJZt8N1vvnB4cjokUoVwT+I0N/9CYNBTpod5WCdQy2VraXIieLZbQ2fztckwZ+DHIX0CdvXgMek65TpXrJcv+VGkP28/Dxc5lQ7Rz2MUw37GQIDAQAB"}]');
CREATE TABLE principal (
	id VARCHAR NOT NULL,
	kind VARCHAR NOT NULL,
	name VARCHAR NOT NULL,
	display_name VARCHAR NOT NULL,
	active BOOLEAN NOT NULL,
	created_ms BIGINT NOT NULL,
	tokens_valid_from_ms BIGINT NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (name)
);
INSERT INTO "principal" VALUES('66041600137436','user','admin','admin',1,1795901676842,0);
INSERT INTO "principal" VALUES('60499462262746','user','bob@example.com','Bob',1,1795901677687,0);
INSERT INTO "principal" VALUES('492149926122221','service_principal','1c9abb52-dcab-4198-939d-a829d74b7aea','robot',1,1795901677704,0);
CREATE TABLE principal_group (
	id VARCHAR NOT NULL,
	name VARCHAR NOT NULL,
	created_ms BIGINT NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (name)
);
INSERT INTO "principal_group" VALUES('1','admins',1795901676842);
INSERT INTO "principal_group" VALUES('2','users',1795901676842);
INSERT INTO "principal_group" VALUES('285577199820019','team',1795901677719);
CREATE TABLE quota (
	"key" BLOB NOT NULL,
	window BIGINT NOT NULL,
	granted BIGINT NOT NULL,
	debt BIGINT NOT NULL,
	PRIMARY KEY ("key")
);
INSERT INTO "quota" VALUES(X'6919BC0E55DE32E781AEE5D08E632F7E',29931694,2,0);
INSERT INTO "quota" VALUES(X'67711DCAC9D5D8ED1661EF40B4AB412B',29931694,4,0);
INSERT INTO "quota" VALUES(X'1705CB081C90335F218B873AEC9AE5EB',29931694,2,0);
INSERT INTO "quota" VALUES(X'22DF12E2BC3F2037009D7FD8C8F3B2ED',29931694,26,0);
CREATE TABLE replica (
	id VARCHAR NOT NULL,
	seen_ms BIGINT NOT NULL,
	workers INTEGER NOT NULL,
	acked_revision BIGINT NOT NULL,
	PRIMARY KEY (id)
);
CREATE TABLE revision (
	id INTEGER NOT NULL,
	revision BIGINT NOT NULL,
	compacted BIGINT NOT NULL,
	store_id VARCHAR NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "revision" VALUES(1,17,0,'d759f91e2e3145409a7a91e601cd0146');
CREATE TABLE secret (
	scope VARCHAR NOT NULL,
	"key" VARCHAR NOT NULL,
	sealed BLOB NOT NULL,
	updated_ms BIGINT NOT NULL,
	PRIMARY KEY (scope, "key"),
	FOREIGN KEY(scope) REFERENCES secret_scope (name) ON DELETE CASCADE
);
INSERT INTO "secret" VALUES('team','openai',X'021061646638646133626661303930646333003C0452994A7355A39CF4F00B86B67CE22DEB0562698E78F8FF28AB1770C66442F8F4EBABE16BB0CED066D29493B70A16950C3B1718EA332EEBA166FDD7855E23CCF5B072658C89FBAF02346FE2CF55C4FB0CAE23AB5E512B3A4A3ED357F86FB8A2A35EEDDB1664FFDEF86D869377B0',1795901677745);
CREATE TABLE secret_scope (
	name VARCHAR NOT NULL,
	creator VARCHAR NOT NULL,
	created_ms BIGINT NOT NULL, acl_json VARCHAR DEFAULT '{}' NOT NULL, backend VARCHAR DEFAULT 'DATABRICKS' NOT NULL,
	PRIMARY KEY (name)
);
INSERT INTO "secret_scope" VALUES('team','admin',1795901677733,'{"66041600137436":"MANAGE","285577199820019":"READ"}','DATABRICKS');
CREATE TABLE signing_key (
	id VARCHAR NOT NULL,
	public_key BLOB NOT NULL,
	sealed BLOB NOT NULL,
	created_ms BIGINT NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "signing_key" VALUES('2438480988b9a085',X'302A300506032B65700321009FAF13965B085097BDF286178A2E34E445DE2FD14D759C7D603495848892E7A6',X'021061646638646133626661303930646333003C87A2664B66853EEF74632F7B707075C2392DD9C1FA98A38565D46E54AF878E98068CD0AFF54B1A53F7F8FAB0FB1FC3D8FAE6542733EB8009757384D556B670E6A5792C452EA7252A0C5FB5FD081AF4AAB605954E5352BFCD789EE4D67127EE2283EE3C1947162CA67984862A939C48EA31A0EEC75E13E0D7',1795901676857);
CREATE TABLE usage_journal (
	id VARCHAR NOT NULL,
	seen_ms BIGINT NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "usage_journal" VALUES('a827091e1d676c5d',1795901678265);
CREATE TABLE usage_origin (
	id BLOB NOT NULL,
	stored_ms BIGINT NOT NULL,
	endpoint_id VARCHAR NOT NULL,
	endpoint_name VARCHAR NOT NULL,
	tags_json VARCHAR NOT NULL,
	config_version INTEGER NOT NULL,
	served_entity_id VARCHAR NOT NULL,
	served_entity_name VARCHAR NOT NULL,
	task VARCHAR NOT NULL,
	requester_id VARCHAR NOT NULL,
	requester VARCHAR NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "usage_origin" VALUES(X'5C3024AC4B544BF1FE69534115E3B3BC',1795824000000,'0a86a68733d5485093132755cc257a94','chat','[{"key":"team","value":"a"},{"key":"bare"}]',2,'7bd5513696525914bf5dd52aea7ecc80','two','llm/v1/chat','66041600137436','admin');
INSERT INTO "usage_origin" VALUES(X'9167BD9AD2C3706966D6C5986A945AF2',1795824000000,'0a86a68733d5485093132755cc257a94','chat','[{"key":"team","value":"a"},{"key":"bare"}]',2,'8db023f5abe45dc8b999960afe560cc3','one','llm/v1/chat','66041600137436','admin');
INSERT INTO "usage_origin" VALUES(X'F2E91993E0D110FC6012A3D3173ED1F6',1795824000000,'0a86a68733d5485093132755cc257a94','chat','[{"key":"team","value":"a"},{"key":"bare"}]',2,'7bd5513696525914bf5dd52aea7ecc80','two','llm/v1/chat','60499462262746','bob@example.com');
INSERT INTO "usage_origin" VALUES(X'F80F019C26C4D8C7C6C793FE5A325EF5',1795824000000,'0a86a68733d5485093132755cc257a94','chat','[{"key":"team","value":"a"},{"key":"bare"}]',2,'8db023f5abe45dc8b999960afe560cc3','one','llm/v1/chat','60499462262746','bob@example.com');
CREATE TABLE usage_query (
	id VARCHAR NOT NULL,
	origin_id BLOB NOT NULL,
	endpoint_id VARCHAR NOT NULL,
	time_ms BIGINT NOT NULL,
	state VARCHAR NOT NULL,
	request_id VARCHAR NOT NULL,
	client_request_id VARCHAR NOT NULL,
	usage_context_json VARCHAR NOT NULL,
	streaming BOOLEAN NOT NULL,
	input_characters BIGINT NOT NULL,
	status_code INTEGER,
	error VARCHAR NOT NULL,
	input_tokens BIGINT,
	output_tokens BIGINT,
	cached_tokens BIGINT,
	reasoning_tokens BIGINT,
	estimated BOOLEAN NOT NULL,
	output_characters BIGINT NOT NULL,
	latency_ms FLOAT,
	first_chunk_ms FLOAT,
	attempts_json VARCHAR NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "usage_query" VALUES('a827091e1d676c5d0000000000000001',X'9167BD9AD2C3706966D6C5986A945AF2','0a86a68733d5485093132755cc257a94',1795901677937,'ENDED','36869a52-25da-48aa-ab1d-b22465e7eb4b','','{}',0,10,200,'',9,4,0,0,0,23,2.95055820006382418796e+01,NULL,'[2.0]');
INSERT INTO "usage_query" VALUES('a827091e1d676c5d0000000000000002',X'5C3024AC4B544BF1FE69534115E3B3BC','0a86a68733d5485093132755cc257a94',1795901677969,'ENDED','dcac2351-4e7e-4aa8-8f9f-fee5f72087d6','','{}',0,10,200,'',9,4,0,0,0,23,8.16139000016846694052e+00,NULL,'[1.0]');
INSERT INTO "usage_query" VALUES('a827091e1d676c5d0000000000000003',X'F80F019C26C4D8C7C6C793FE5A325EF5','0a86a68733d5485093132755cc257a94',1795901677979,'ENDED','5900d845-ff2a-40ab-97ce-95504e4dd453','','{}',0,10,200,'',9,4,0,0,0,23,7.91815700176812242716e+00,NULL,'[1.0]');
INSERT INTO "usage_query" VALUES('a827091e1d676c5d0000000000000004',X'F2E91993E0D110FC6012A3D3173ED1F6','0a86a68733d5485093132755cc257a94',1795901677989,'ENDED','fe305ea5-a7a9-4cad-a624-7bc3f06b804e','','{}',0,10,200,'',9,4,0,0,0,23,7.19288700020115356892e+00,NULL,'[0.0]');
CREATE INDEX ix_endpoint_phase ON endpoint (phase);
CREATE INDEX ix_endpoint_ready ON endpoint (ready);
CREATE INDEX ix_group_member_principal_id ON group_member (principal_id);
CREATE INDEX ix_access_token_principal_id ON access_token (principal_id);
CREATE INDEX ix_client_secret_principal_id ON client_secret (principal_id);
CREATE INDEX ix_audit_event_time_ms ON audit_event (time_ms);
CREATE INDEX ix_usage_journal_seen_ms ON usage_journal (seen_ms);
CREATE INDEX ix_usage_origin_endpoint_name ON usage_origin (endpoint_name);
CREATE INDEX ix_usage_origin_stored_ms ON usage_origin (stored_ms);
CREATE INDEX ix_usage_origin_requester ON usage_origin (requester);
CREATE INDEX usage_query_time ON usage_query (time_ms);
CREATE INDEX usage_query_endpoint ON usage_query (endpoint_id, time_ms);
CREATE INDEX usage_query_origin ON usage_query (origin_id);
CREATE INDEX usage_query_running ON usage_query (id) WHERE state = 'RUNNING';
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('audit_event',13);
COMMIT;
