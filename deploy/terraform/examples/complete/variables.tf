variable "region" {
  description = "Region to make the fleet in."
  type        = string
  default     = "eu-central-1"
}

variable "name" {
  description = "Name of the fleet."
  type        = string
  default     = "deepstream"
}

variable "zone" {
  description = "Public hosted zone of Route 53 that the domain is in, such as example.org."
  type        = string
}

variable "domain" {
  description = "Name that clients connect to, such as realtime.example.org."
  type        = string
}

variable "dsproxy_package" {
  description = "s3:// or https:// URL of dsproxy's rpm for arm64."
  type        = string
}

variable "dsproxy_package_sha256" {
  description = "SHA-256 of that file."
  type        = string
}

variable "deepstream_package" {
  description = "s3:// or https:// URL of deepstream's rpm for arm64."
  type        = string
}

variable "deepstream_package_sha256" {
  description = "SHA-256 of that file."
  type        = string
}

variable "alarm_topic_arn" {
  description = "SNS topic for alarms; null for none."
  type        = string
  default     = null
}
