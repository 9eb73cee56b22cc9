output "url" {
  description = "Where clients connect."
  value       = "https://${aws_route53_record.fleet.name}"
}

output "fleet" {
  description = "Everything that the module tells."
  value       = module.fleet
}
