output "alb_dns_name" {
  description = "DNS name of the balancer; point your own name to it."
  value       = aws_lb.this.dns_name
}

output "alb_zone_id" {
  description = "Hosted zone of that name, for an alias record."
  value       = aws_lb.this.zone_id
}

output "target_group_arn" {
  description = "ARN of the proxies' target group."
  value       = aws_lb_target_group.proxy.arn
}

output "proxy_autoscaling_group" {
  description = "Name of the proxies' auto scaling group."
  value       = aws_autoscaling_group.proxy.name
}

output "node_autoscaling_group" {
  description = "Name of the nodes' auto scaling group."
  value       = aws_autoscaling_group.node.name
}

output "proxy_security_group_id" {
  description = "Security group of the proxies."
  value       = aws_security_group.proxy.id
}

output "node_security_group_id" {
  description = "Security group of the nodes; add rules here for a database or an HTTP login."
  value       = aws_security_group.node.id
}

output "members" {
  description = "Name by which members join, in the VPC."
  value       = local.members
}

output "redis_endpoint" {
  description = "host:port of Redis' primary."
  value       = local.redis
}

output "redis_secret_arn" {
  description = "ARN of the secret that holds the Redis AUTH token."
  value       = aws_secretsmanager_secret.redis.arn
}

output "gossip_secret_arn" {
  description = "ARN of the secret that holds the gossip key."
  value       = aws_secretsmanager_secret.gossip.arn
}
