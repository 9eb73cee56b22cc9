locals {
  redis_auth_token = coalesce(var.redis_auth_token, random_password.redis.result)
}

resource "random_password" "redis" {
  length  = 64
  special = false
}

resource "aws_secretsmanager_secret" "redis" {
  name_prefix = "${var.name}-redis-"
  description = "Redis AUTH token of the fleet ${var.name}"
  tags        = local.tags
}

resource "aws_secretsmanager_secret_version" "redis" {
  secret_id     = aws_secretsmanager_secret.redis.id
  secret_string = local.redis_auth_token
}

# 32 letters and digits are the base64 of 24 bytes: a key for AES-192. It goes to
# Secrets Manager and is kept nowhere else.
ephemeral "aws_secretsmanager_random_password" "gossip" {
  password_length     = 32
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret" "gossip" {
  name_prefix = "${var.name}-gossip-"
  description = "Gossip key of the fleet ${var.name}"
  tags        = local.tags
}

resource "aws_secretsmanager_secret_version" "gossip" {
  secret_id                = aws_secretsmanager_secret.gossip.id
  secret_string_wo         = ephemeral.aws_secretsmanager_random_password.gossip.random_password
  secret_string_wo_version = var.gossip_key_version
}
