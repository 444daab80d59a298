-- Schema 0029. Written by tests/newest_schema.py from the migrations.

CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE revision (
	id SERIAL NOT NULL, 
	revision BIGINT NOT NULL, 
	compacted BIGINT NOT NULL, 
	store_id VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);

CREATE TABLE event (
	revision BIGINT NOT NULL, 
	kind VARCHAR NOT NULL, 
	key VARCHAR NOT NULL, 
	PRIMARY KEY (revision)
);

CREATE TABLE replica (
	id VARCHAR NOT NULL, 
	seen_ms BIGINT NOT NULL, 
	workers INTEGER NOT NULL, 
	acked_revision BIGINT NOT NULL, 
	PRIMARY KEY (id)
);

CREATE TABLE endpoint (
	id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	creator VARCHAR NOT NULL, 
	creator_id VARCHAR NOT NULL, 
	grants_json VARCHAR NOT NULL, 
	created_ms BIGINT NOT NULL, 
	updated_ms BIGINT NOT NULL, 
	settings BYTEA NOT NULL, 
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
	PRIMARY KEY (id), 
	UNIQUE (name)
);

CREATE INDEX ix_endpoint_ready ON endpoint (ready);

CREATE INDEX ix_endpoint_phase ON endpoint (phase);

CREATE TABLE endpoint_config (
	endpoint_id VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	config BYTEA NOT NULL, 
	creator VARCHAR NOT NULL, 
	created_ms BIGINT NOT NULL, 
	outcome VARCHAR NOT NULL, 
	outcome_message VARCHAR NOT NULL, 
	PRIMARY KEY (endpoint_id, version), 
	FOREIGN KEY(endpoint_id) REFERENCES endpoint (id) ON DELETE CASCADE
);

CREATE TABLE credential (
	endpoint_id VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	path VARCHAR NOT NULL, 
	sealed BYTEA NOT NULL, 
	PRIMARY KEY (endpoint_id, version, path), 
	FOREIGN KEY(endpoint_id) REFERENCES endpoint (id) ON DELETE CASCADE
);

CREATE TABLE secret_reference (
	endpoint_id VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	scope VARCHAR NOT NULL, 
	key VARCHAR NOT NULL, 
	PRIMARY KEY (endpoint_id, version, scope, key), 
	FOREIGN KEY(endpoint_id, version) REFERENCES endpoint_config (endpoint_id, version) ON DELETE CASCADE
);

CREATE INDEX secret_reference_secret ON secret_reference (scope, key);

CREATE TABLE refusal (
	endpoint_id VARCHAR NOT NULL, 
	revision BIGINT NOT NULL, 
	serving BOOLEAN NOT NULL, 
	message VARCHAR NOT NULL, 
	PRIMARY KEY (endpoint_id), 
	FOREIGN KEY(endpoint_id) REFERENCES endpoint (id) ON DELETE CASCADE
);

CREATE TABLE endpoint_metrics (
	endpoint_id VARCHAR NOT NULL, 
	totals_json VARCHAR NOT NULL, 
	PRIMARY KEY (endpoint_id), 
	FOREIGN KEY(endpoint_id) REFERENCES endpoint (id) ON DELETE CASCADE
);

CREATE TABLE metrics_reporter (
	id VARCHAR NOT NULL, 
	sequence BIGINT NOT NULL, 
	in_flight_json VARCHAR NOT NULL, 
	seen_ms BIGINT NOT NULL, 
	PRIMARY KEY (id)
);

CREATE TABLE secret_scope (
	name VARCHAR NOT NULL, 
	creator VARCHAR NOT NULL, 
	created_ms BIGINT NOT NULL, 
	acl_json VARCHAR NOT NULL, 
	backend VARCHAR NOT NULL, 
	PRIMARY KEY (name)
);

CREATE TABLE secret (
	scope VARCHAR NOT NULL, 
	key VARCHAR NOT NULL, 
	sealed BYTEA NOT NULL, 
	updated_ms BIGINT NOT NULL, 
	PRIMARY KEY (scope, key), 
	FOREIGN KEY(scope) REFERENCES secret_scope (name) ON DELETE CASCADE
);

CREATE TABLE signing_key (
	id VARCHAR NOT NULL, 
	public_key BYTEA NOT NULL, 
	sealed BYTEA NOT NULL, 
	created_ms BIGINT NOT NULL, 
	PRIMARY KEY (id)
);

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

CREATE TABLE principal_group (
	id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	created_ms BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);

CREATE TABLE group_member (
	group_id VARCHAR NOT NULL, 
	principal_id VARCHAR NOT NULL, 
	PRIMARY KEY (group_id, principal_id), 
	FOREIGN KEY(group_id) REFERENCES principal_group (id) ON DELETE CASCADE, 
	FOREIGN KEY(principal_id) REFERENCES principal (id) ON DELETE CASCADE
);

CREATE INDEX ix_group_member_principal_id ON group_member (principal_id);

CREATE TABLE access_token (
	id VARCHAR NOT NULL, 
	digest BYTEA NOT NULL, 
	principal_id VARCHAR NOT NULL, 
	comment VARCHAR NOT NULL, 
	created_ms BIGINT NOT NULL, 
	expiry_ms BIGINT, 
	PRIMARY KEY (id), 
	UNIQUE (digest), 
	FOREIGN KEY(principal_id) REFERENCES principal (id) ON DELETE CASCADE
);

CREATE INDEX ix_access_token_principal_id ON access_token (principal_id);

CREATE TABLE client_secret (
	id VARCHAR NOT NULL, 
	principal_id VARCHAR NOT NULL, 
	digest BYTEA NOT NULL, 
	created_ms BIGINT NOT NULL, 
	expiry_ms BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(principal_id) REFERENCES principal (id) ON DELETE CASCADE
);

CREATE INDEX ix_client_secret_principal_id ON client_secret (principal_id);

CREATE TABLE issuer (
	issuer VARCHAR NOT NULL, 
	resource BYTEA NOT NULL, 
	PRIMARY KEY (issuer)
);

CREATE TABLE audit_event (
	id BIGSERIAL NOT NULL, 
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
	details_json VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);

CREATE INDEX ix_audit_event_time_ms ON audit_event (time_ms);

CREATE TABLE quota (
	key BYTEA NOT NULL, 
	"window" BIGINT NOT NULL, 
	granted BIGINT NOT NULL, 
	debt BIGINT NOT NULL, 
	used BIGINT DEFAULT '0' NOT NULL, 
	PRIMARY KEY (key)
);

CREATE TABLE usage_origin (
	id BYTEA NOT NULL, 
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

CREATE INDEX ix_usage_origin_endpoint_name ON usage_origin (endpoint_name);

CREATE INDEX ix_usage_origin_stored_ms ON usage_origin (stored_ms);

CREATE INDEX ix_usage_origin_requester ON usage_origin (requester);

CREATE TABLE usage_query (
	id VARCHAR NOT NULL, 
	origin_id BYTEA NOT NULL, 
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

CREATE INDEX usage_query_time ON usage_query (time_ms);

CREATE INDEX usage_query_endpoint ON usage_query (endpoint_id, time_ms);

CREATE INDEX usage_query_origin ON usage_query (origin_id);

CREATE INDEX usage_query_running ON usage_query (id) WHERE state = 'RUNNING';

CREATE TABLE usage_journal (
	id VARCHAR NOT NULL, 
	seen_ms BIGINT NOT NULL, 
	PRIMARY KEY (id)
);

CREATE INDEX ix_usage_journal_seen_ms ON usage_journal (seen_ms);

ALTER TABLE endpoint_config ADD COLUMN hosted BYTEA DEFAULT '' NOT NULL;

CREATE TABLE replica_group (
	id VARCHAR NOT NULL, 
	endpoint_id VARCHAR NOT NULL, 
	served_entity_name VARCHAR NOT NULL, 
	model BYTEA NOT NULL, 
	environment_json VARCHAR NOT NULL, 
	begun_ms BIGINT NOT NULL, 
	generation BIGINT NOT NULL, 
	desired INTEGER NOT NULL, 
	phase VARCHAR NOT NULL, 
	progress VARCHAR NOT NULL, 
	message VARCHAR NOT NULL, 
	ready_once BOOLEAN NOT NULL, 
	start_ms INTEGER NOT NULL, 
	last_request_ms BIGINT NOT NULL, 
	replicas BYTEA NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(endpoint_id) REFERENCES endpoint (id) ON DELETE CASCADE
);

CREATE INDEX ix_replica_group_endpoint_id ON replica_group (endpoint_id);

CREATE TABLE group_log (
	group_id VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	text VARCHAR NOT NULL, 
	updated_ms BIGINT NOT NULL, 
	PRIMARY KEY (group_id, kind), 
	FOREIGN KEY(group_id) REFERENCES replica_group (id) ON DELETE CASCADE
);

CREATE TABLE group_demand (
	group_id VARCHAR NOT NULL, 
	worker_id VARCHAR NOT NULL, 
	demand BYTEA NOT NULL, 
	updated_ms BIGINT NOT NULL, 
	PRIMARY KEY (group_id, worker_id), 
	FOREIGN KEY(group_id) REFERENCES replica_group (id) ON DELETE CASCADE
);

CREATE TABLE launcher (
	pool VARCHAR NOT NULL, 
	launcher_id VARCHAR NOT NULL, 
	backend VARCHAR NOT NULL, 
	lease_until_ms BIGINT NOT NULL, 
	capacity BYTEA NOT NULL, 
	PRIMARY KEY (pool)
);

ALTER TABLE endpoint DROP COLUMN phase_deadline_ms;

ALTER TABLE endpoint ADD COLUMN stopped BOOLEAN DEFAULT false NOT NULL;

ALTER TABLE usage_query ADD COLUMN guardrail_action VARCHAR DEFAULT '' NOT NULL;

ALTER TABLE usage_query ADD COLUMN guardrail_json VARCHAR DEFAULT '{}' NOT NULL;

CREATE TABLE measured_throughput (
	key VARCHAR NOT NULL, 
	tokens_per_second FLOAT NOT NULL, 
	measured_ms BIGINT NOT NULL, 
	PRIMARY KEY (key)
);

ALTER TABLE usage_origin ADD COLUMN client VARCHAR DEFAULT '' NOT NULL;

CREATE TABLE endpoint_alias (
	alias VARCHAR NOT NULL, 
	endpoint_id VARCHAR NOT NULL, 
	PRIMARY KEY (alias), 
	FOREIGN KEY(endpoint_id) REFERENCES endpoint (id) ON DELETE CASCADE
);

CREATE INDEX ix_endpoint_alias_endpoint_id ON endpoint_alias (endpoint_id);

ALTER TABLE access_token ADD COLUMN parent_id VARCHAR;

CREATE INDEX ix_access_token_parent_id ON access_token (parent_id);

CREATE TABLE payload_table (
	location VARCHAR NOT NULL, 
	endpoint_id VARCHAR NOT NULL, 
	creator_id VARCHAR NOT NULL, 
	PRIMARY KEY (location)
);

CREATE TABLE usage_period (
	length_ms INTEGER NOT NULL, 
	start_ms BIGINT NOT NULL, 
	changes INTEGER NOT NULL, 
	state VARCHAR NOT NULL, 
	PRIMARY KEY (length_ms, start_ms)
);

CREATE INDEX ix_usage_period_start_ms ON usage_period (start_ms);

CREATE TABLE usage_total (
	id BIGSERIAL NOT NULL, 
	length_ms INTEGER NOT NULL, 
	start_ms BIGINT NOT NULL, 
	origin_id BYTEA NOT NULL, 
	endpoint_id VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	status_code INTEGER, 
	guardrail_action VARCHAR NOT NULL, 
	requests BIGINT NOT NULL, 
	input_tokens BIGINT, 
	output_tokens BIGINT, 
	cached_tokens BIGINT, 
	reasoning_tokens BIGINT, 
	input_characters BIGINT NOT NULL, 
	output_characters BIGINT NOT NULL, 
	latency_ms FLOAT, 
	PRIMARY KEY (id)
);

CREATE INDEX usage_total_period ON usage_total (length_ms, start_ms);

CREATE INDEX usage_total_endpoint ON usage_total (endpoint_id, length_ms, start_ms);

ALTER TABLE replica ADD COLUMN connected VARCHAR DEFAULT '[]' NOT NULL;

CREATE TABLE rollout (
	endpoint_id VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	prepare_revision BIGINT NOT NULL, 
	activate_revision BIGINT, 
	prepared_ms BIGINT, 
	ended_ms BIGINT, 
	entities BYTEA NOT NULL, 
	PRIMARY KEY (endpoint_id, version), 
	FOREIGN KEY(endpoint_id, version) REFERENCES endpoint_config (endpoint_id, version) ON DELETE CASCADE
);

CREATE TABLE rollout_workers (
	endpoint_id VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	replica_id VARCHAR NOT NULL, 
	workers BYTEA NOT NULL, 
	PRIMARY KEY (endpoint_id, version, replica_id), 
	FOREIGN KEY(endpoint_id, version) REFERENCES rollout (endpoint_id, version) ON DELETE CASCADE
);

ALTER TABLE replica_group ADD COLUMN history BYTEA DEFAULT '' NOT NULL;

ALTER TABLE payload_table ADD COLUMN kind VARCHAR DEFAULT '' NOT NULL;

ALTER TABLE usage_period ADD COLUMN margins_at INTEGER DEFAULT '-1' NOT NULL;

ALTER TABLE usage_period ADD COLUMN margins VARCHAR DEFAULT '' NOT NULL;

CREATE TABLE usage_margin (
	id BIGSERIAL NOT NULL, 
	length_ms INTEGER NOT NULL, 
	start_ms BIGINT NOT NULL, 
	dimension VARCHAR NOT NULL, 
	value VARCHAR, 
	requests BIGINT NOT NULL, 
	failed_requests BIGINT NOT NULL, 
	unknown_requests BIGINT NOT NULL, 
	input_token_count BIGINT, 
	output_token_count BIGINT, 
	cached_token_count BIGINT, 
	reasoning_token_count BIGINT, 
	input_character_count BIGINT NOT NULL, 
	output_character_count BIGINT NOT NULL, 
	latency_ms FLOAT, 
	PRIMARY KEY (id)
);

CREATE INDEX usage_margin_period ON usage_margin (length_ms, start_ms);

CREATE INDEX usage_margin_dimension ON usage_margin (dimension, length_ms, start_ms);

ALTER TABLE endpoint_metrics ADD COLUMN series_from_ms BIGINT DEFAULT '0' NOT NULL;

ALTER TABLE endpoint_metrics ADD COLUMN live_from_ms BIGINT DEFAULT '0' NOT NULL;

ALTER TABLE endpoint_metrics ADD COLUMN live_until_ms BIGINT DEFAULT '0' NOT NULL;

CREATE TABLE series (
	endpoint_id VARCHAR NOT NULL, 
	step_seconds INTEGER NOT NULL, 
	step BIGINT NOT NULL, 
	served_entity_name VARCHAR NOT NULL, 
	counts BYTEA NOT NULL, 
	PRIMARY KEY (endpoint_id, step_seconds, step, served_entity_name), 
	FOREIGN KEY(endpoint_id) REFERENCES endpoint_metrics (endpoint_id) ON DELETE CASCADE
);

ALTER TABLE revision ADD COLUMN changes BIGINT DEFAULT '0' NOT NULL;

CREATE TABLE endpoint_change (
	revision BIGINT NOT NULL, 
	kind VARCHAR NOT NULL, 
	endpoint_id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	grants_json VARCHAR NOT NULL, 
	config_version INTEGER, 
	phase VARCHAR NOT NULL, 
	time_ms BIGINT NOT NULL, 
	PRIMARY KEY (revision)
);

CREATE INDEX endpoint_by_created_ms ON endpoint (created_ms, name);

CREATE INDEX endpoint_by_updated_ms ON endpoint (updated_ms, name);

CREATE INDEX endpoint_by_creator ON endpoint (creator, name);

ALTER TABLE usage_origin ADD COLUMN provider VARCHAR DEFAULT '' NOT NULL;

ALTER TABLE usage_origin ADD COLUMN model VARCHAR DEFAULT '' NOT NULL;

ALTER TABLE usage_margin ADD COLUMN provider VARCHAR DEFAULT '' NOT NULL;

ALTER TABLE usage_margin ADD COLUMN model VARCHAR DEFAULT '' NOT NULL;

ALTER TABLE usage_total ADD COLUMN latencies VARCHAR;

ALTER TABLE usage_margin ADD COLUMN latencies VARCHAR;

ALTER TABLE usage_margin ADD COLUMN errors BIGINT DEFAULT '0' NOT NULL;

ALTER TABLE usage_period ADD COLUMN told_at INTEGER DEFAULT '-1' NOT NULL;

CREATE TABLE usage_price (
	id INTEGER NOT NULL, 
	provider VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	from_ms BIGINT NOT NULL, 
	until_ms BIGINT NOT NULL, 
	input BIGINT NOT NULL, 
	output BIGINT NOT NULL, 
	cached_input BIGINT, 
	currency VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);

CREATE UNIQUE INDEX usage_price_model ON usage_price (provider, model, from_ms);

ALTER TABLE event ADD COLUMN secret VARCHAR;
