locals {
  # After a failover another one is the primary.
  redis_members = [for i in range(var.redis_replicas + 1) : format("%03d", i + 1)]

  alarms = merge({
    unhealthy-proxies = {
      about      = "A proxy fails its health check for five minutes."
      namespace  = "AWS/ApplicationELB"
      metric     = "UnHealthyHostCount"
      statistic  = "Maximum"
      threshold  = 0
      dimensions = { LoadBalancer = aws_lb.this.arn_suffix, TargetGroup = aws_lb_target_group.proxy.arn_suffix }
    }
    proxy-errors = {
      about      = "The proxies answer with 5xx: more than 50 a minute."
      namespace  = "AWS/ApplicationELB"
      metric     = "HTTPCode_Target_5XX_Count"
      statistic  = "Sum"
      threshold  = 50
      dimensions = { LoadBalancer = aws_lb.this.arn_suffix, TargetGroup = aws_lb_target_group.proxy.arn_suffix }
    }
    balancer-errors = {
      about      = "The balancer itself answers with 5xx: more than 50 a minute."
      namespace  = "AWS/ApplicationELB"
      metric     = "HTTPCode_ELB_5XX_Count"
      statistic  = "Sum"
      threshold  = 50
      dimensions = { LoadBalancer = aws_lb.this.arn_suffix }
    }
    }, {
    for member in local.redis_members : "redis-memory-${member}" => {
      about      = "Redis is nearly full; at 100 % it refuses writes."
      namespace  = "AWS/ElastiCache"
      metric     = "DatabaseMemoryUsagePercentage"
      statistic  = "Maximum"
      threshold  = 75
      dimensions = { CacheClusterId = "${var.name}-${member}" }
    }
    }, {
    for member in local.redis_members : "redis-cpu-${member}" => {
      about      = "Redis' one thread is nearly busy all the time."
      namespace  = "AWS/ElastiCache"
      metric     = "EngineCPUUtilization"
      statistic  = "Average"
      threshold  = 80
      dimensions = { CacheClusterId = "${var.name}-${member}" }
    }
  })
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = { for name, alarm in local.alarms : name => alarm if var.alarm_topic_arn != null }

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.about
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  statistic           = each.value.statistic
  dimensions          = each.value.dimensions
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 5
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
  tags                = local.tags
}
