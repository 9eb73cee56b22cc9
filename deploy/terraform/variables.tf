# What is there already.

variable "name" {
  description = "Name of the fleet. It starts the names of all that is made, is the name of the cluster in gossip and Redis, and the tag dsproxy:fleet of the machines."
  type        = string
  default     = "deepstream"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) <= 22
    error_message = "name must be at most 22 small letters, digits and single hyphens between them, starting with a letter."
  }

  validation {
    condition     = !startswith(var.name, "internal-")
    error_message = "name must not begin with internal-, which AWS keeps for balancers of its own."
  }
}

variable "vpc_id" {
  description = "VPC that everything is made in. Its DNS support and DNS hostnames must be on, for the private zone."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id must be the id of a VPC, such as vpc-0123456789abcdef0."
  }
}

variable "public_subnet_ids" {
  description = "Subnets of the balancer, in two zones or more; with a route to an internet gateway unless internal is true."
  type        = list(string)

  validation {
    condition     = length(distinct(var.public_subnet_ids)) >= 2
    error_message = "public_subnet_ids must name two subnets or more, each in another zone."
  }
}

variable "private_subnet_ids" {
  description = "Subnets of proxies, nodes and Redis, in two zones or more; with a route out to the AWS APIs and to where the packages are (NAT gateway or VPC endpoints)."
  type        = list(string)

  validation {
    condition     = length(distinct(var.private_subnet_ids)) >= 2
    error_message = "private_subnet_ids must name two subnets or more, each in another zone."
  }
}

variable "certificate_arn" {
  description = "ARN of the ACM certificate of the HTTPS listener, in the balancer's region."
  type        = string

  validation {
    condition     = can(regex("^arn:[^:]+:(acm|iam):", var.certificate_arn))
    error_message = "certificate_arn must be the ARN of a certificate in ACM or IAM."
  }
}

variable "tags" {
  description = "Tags of everything that can have tags."
  type        = map(string)
  default     = {}
}

# The balancer.

variable "internal" {
  description = "Whether the balancer has private addresses only."
  type        = bool
  default     = false
}

variable "ingress_cidrs" {
  description = "IPv4 networks that may reach the balancer on 80 and 443."
  type        = list(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = alltrue([for c in var.ingress_cidrs : can(cidrnetmask(c)) ? cidrsubnet(c, 0, 0) == c : false])
    error_message = "ingress_cidrs must be IPv4 networks such as 203.0.113.0/24, with no bits of a host."
  }
}

variable "ssl_policy" {
  description = "TLS policy of the HTTPS listener."
  type        = string
  default     = "ELBSecurityPolicy-TLS13-1-2-2021-06"
}

variable "idle_timeout" {
  description = "Seconds after which the balancer closes a connection in which nothing moves. Must be longer than the clients' heartbeats and long polls (engine.io 25 s, deepstream 30 s). dsproxy keeps its side open 15 s longer."
  type        = number
  default     = 60

  validation {
    condition     = var.idle_timeout >= 35 && var.idle_timeout <= 3600 && floor(var.idle_timeout) == var.idle_timeout
    error_message = "idle_timeout must be 35 to 3600 whole seconds."
  }
}

variable "access_logs_bucket" {
  description = "S3 bucket for the balancer's access logs, whose policy lets Elastic Load Balancing write. Note that query strings with session ids are logged. null for no logs."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether the balancer refuses to be deleted."
  type        = bool
  default     = false
}

# The machines.

variable "architecture" {
  description = "Processors of the machines: arm64 or x86_64. Packages and instance types must fit."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be arm64 or x86_64."
  }
}

variable "image_id" {
  description = "Image of the machines: Amazon Linux 2023 of that architecture. null for the newest at each apply, which replaces the machines whenever there is a newer one."
  type        = string
  default     = null

  validation {
    condition     = var.image_id == null || can(regex("^ami-[0-9a-f]+$", var.image_id))
    error_message = "image_id must be the id of an image, such as ami-0123456789abcdef0."
  }
}

variable "dsproxy_package" {
  description = "Where the machines get dsproxy's rpm: s3://bucket/key or https://..."
  type        = string

  validation {
    condition     = can(regex("^(s3://[a-z0-9.-]+/|https://)[A-Za-z0-9._~:/?#@!&()*+,;=%-]+$", var.dsproxy_package))
    error_message = "dsproxy_package must be s3://bucket/key or an https:// URL."
  }
  validation {
    condition     = !can(regex(var.architecture == "arm64" ? "x86_64|amd64" : "aarch64|arm64", var.dsproxy_package))
    error_message = "dsproxy_package is for another architecture than var.architecture."
  }
}

variable "dsproxy_package_sha256" {
  description = "SHA-256 of that file, in hex. A machine installs nothing else."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.dsproxy_package_sha256))
    error_message = "dsproxy_package_sha256 must be 64 hex digits, as sha256sum prints them."
  }
}

variable "deepstream_package" {
  description = "Where the machines get deepstream's rpm: s3://bucket/key or https://..."
  type        = string

  validation {
    condition     = can(regex("^(s3://[a-z0-9.-]+/|https://)[A-Za-z0-9._~:/?#@!&()*+,;=%-]+$", var.deepstream_package))
    error_message = "deepstream_package must be s3://bucket/key or an https:// URL."
  }
  validation {
    condition     = !can(regex(var.architecture == "arm64" ? "x86_64|amd64" : "aarch64|arm64", var.deepstream_package))
    error_message = "deepstream_package is for another architecture than var.architecture."
  }
}

variable "deepstream_package_sha256" {
  description = "SHA-256 of that file, in hex."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.deepstream_package_sha256))
    error_message = "deepstream_package_sha256 must be 64 hex digits, as sha256sum prints them."
  }
}

variable "proxy_instance_type" {
  description = "Instance type of the proxies."
  type        = string
  default     = "c7g.large"

  validation {
    condition     = can(regex("^[a-z]+[0-9]+g[a-z]*\\.", var.proxy_instance_type)) == (var.architecture == "arm64")
    error_message = "proxy_instance_type is of another architecture than var.architecture."
  }
}

variable "node_instance_type" {
  description = "Instance type of the nodes."
  type        = string
  default     = "c7g.large"

  validation {
    condition     = can(regex("^[a-z]+[0-9]+g[a-z]*\\.", var.node_instance_type)) == (var.architecture == "arm64")
    error_message = "node_instance_type is of another architecture than var.architecture."
  }
}

variable "proxies" {
  description = "How many proxies there are: at least min, at most max, as their CPU asks."
  type        = object({ min = number, max = number })
  default     = { min = 2, max = 6 }

  validation {
    condition     = var.proxies.min >= 1 && var.proxies.max >= var.proxies.min
    error_message = "proxies.min must be 1 or more, and max not less."
  }
}

variable "nodes" {
  description = "How many nodes there are: at least min, at most max, as their CPU asks."
  type        = object({ min = number, max = number })
  default     = { min = 2, max = 6 }

  validation {
    condition     = var.nodes.min >= 1 && var.nodes.max >= var.nodes.min
    error_message = "nodes.min must be 1 or more, and max not less."
  }
}

variable "target_cpu" {
  description = "CPU use, in percent, that both groups are sized for."
  type        = number
  default     = 50

  validation {
    condition     = var.target_cpu >= 10 && var.target_cpu <= 90
    error_message = "target_cpu must be 10 to 90."
  }
}

variable "deepstream_config" {
  description = "Content of /etc/deepstream/config.yml on the nodes; not secret, at most 8000 bytes. null for a start in which everyone may log in and do everything. Port, health check path and drainTimeout must stay those of the module."
  type        = string
  default     = null

  validation {
    condition     = var.deepstream_config == null || length(base64encode(coalesce(var.deepstream_config, "-"))) <= 10668
    error_message = "deepstream_config must have at most 8000 bytes, or the user data gets too long."
  }
}

variable "session_manager" {
  description = "Whether operators may open shells on the machines by Systems Manager. There is no other way in."
  type        = bool
  default     = false
}

variable "permissions_boundary" {
  description = "ARN of the permissions boundary of the roles, where the account asks for one."
  type        = string
  default     = null
}

# Draining.

variable "drain_delay" {
  description = "Seconds for which a stopping proxy fails its health check before it takes no more connections. The balancer needs 10 to notice."
  type        = number
  default     = 15

  validation {
    condition     = var.drain_delay >= 12 && var.drain_delay <= 300 && floor(var.drain_delay) == var.drain_delay
    error_message = "drain_delay must be 12 to 300 whole seconds; the balancer notices after 10."
  }
}

variable "drain_timeout" {
  description = "Seconds for requests and tunnels to end after that. Tunnels are closed one by one in the second half."
  type        = number
  default     = 60

  validation {
    condition     = var.drain_timeout >= 5 && var.drain_timeout <= 3000 && floor(var.drain_timeout) == var.drain_timeout
    error_message = "drain_timeout must be 5 to 3000 whole seconds."
  }
}

variable "node_drain_timeout" {
  description = "Seconds for clients to leave a stopping node."
  type        = number
  default     = 30

  validation {
    condition     = var.node_drain_timeout >= 1 && var.node_drain_timeout <= 3000 && floor(var.node_drain_timeout) == var.node_drain_timeout
    error_message = "node_drain_timeout must be 1 to 3000 whole seconds."
  }
}

# Redis and secrets.

variable "redis_node_type" {
  description = "Node type of ElastiCache."
  type        = string
  default     = "cache.t4g.small"
}

variable "redis_replicas" {
  description = "Replicas beside the primary, each in another zone."
  type        = number
  default     = 1

  validation {
    condition     = var.redis_replicas >= 1 && var.redis_replicas <= 5
    error_message = "redis_replicas must be 1 to 5; without one there is no failover."
  }
}

variable "redis_version" {
  description = "Version of Redis in ElastiCache; 7.x, for the parameter group is that of redis7."
  type        = string
  default     = "7.1"

  validation {
    condition     = can(regex("^7\\.[0-9]+$", var.redis_version))
    error_message = "redis_version must be 7 and a minor version, such as 7.1."
  }
}

variable "redis_snapshot_days" {
  description = "Days that daily snapshots of the records are kept; 0 for none."
  type        = number
  default     = 7

  validation {
    condition     = var.redis_snapshot_days >= 0 && var.redis_snapshot_days <= 35
    error_message = "redis_snapshot_days must be 0 to 35."
  }
}

variable "redis_auth_token" {
  description = "Redis AUTH token, 16 to 128 letters and digits. null has one made. Either way it is in the state, since ElastiCache's resource keeps it there."
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.redis_auth_token == null || can(regex("^[A-Za-z0-9]{16,128}$", var.redis_auth_token))
    error_message = "redis_auth_token must be 16 to 128 letters and digits."
  }
}

variable "gossip_key_version" {
  description = "A number; raise it to have another gossip key made. README.md says how to change it without parting the fleet."
  type        = number
  default     = 1
}

# Watching.

variable "prometheus_security_group_ids" {
  description = "Security groups of Prometheus, which may then scrape the admin ports, 9180 of the proxies and 9120 of the nodes. They have no authentication, and 9180 can drain nodes."
  type        = list(string)
  default     = []
}

variable "alarm_topic_arn" {
  description = "SNS topic that alarms are sent to; it must be there before, since how many alarms there are depends on it. null for no alarms."
  type        = string
  default     = null
}
