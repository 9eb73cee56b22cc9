locals {
  redis = "${aws_elasticache_replication_group.this.primary_endpoint_address}:${local.port_redis}"
}

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.private_subnet_ids
  tags       = local.tags
}

resource "aws_elasticache_parameter_group" "this" {
  name   = var.name
  family = "redis7"

  # A full Redis refuses writes, which both programs report, and throws nothing
  # away: neither records nor the pins of live sessions.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }

  # The bus: a subscriber's buffer holds a whole burst, or Redis closes it.
  parameter {
    name  = "client-output-buffer-limit-pubsub-hard-limit"
    value = tostring(64 * 1024 * 1024)
  }
  parameter {
    name  = "client-output-buffer-limit-pubsub-soft-limit"
    value = tostring(32 * 1024 * 1024)
  }
  parameter {
    name  = "client-output-buffer-limit-pubsub-soft-seconds"
    value = "60"
  }

  tags = local.tags
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id = var.name
  description          = "Records, bus and session table of the fleet ${var.name}"
  engine               = "redis"
  engine_version       = var.redis_version
  node_type            = var.redis_node_type
  port                 = local.port_redis
  parameter_group_name = aws_elasticache_parameter_group.this.name
  subnet_group_name    = aws_elasticache_subnet_group.this.name
  security_group_ids   = [aws_security_group.redis.id]

  num_cache_clusters         = var.redis_replicas + 1
  automatic_failover_enabled = true
  multi_az_enabled           = true

  transit_encryption_enabled = true
  auth_token                 = local.redis_auth_token
  auth_token_update_strategy = "ROTATE"
  at_rest_encryption_enabled = true

  snapshot_retention_limit = var.redis_snapshot_days
  apply_immediately        = true

  tags = local.tags
}
