# Sets this machine up from what the lines above have written to /etc/fleet:
#   settings    NAME=value lines, read by the shell and by the units
#   config      the program's configuration file
# Nothing here is secret; secrets are read from Secrets Manager at each start.
set -euo pipefail
. /etc/fleet/settings

# What fails is the last that the instance's console shows; a stack is told at once,
# a group gives the machine up when its hook runs out.
failed() {
  echo "fleet: $PROGRAM is not set up: \"$2\" failed in line $1" >&2
  [ -z "${STACK:-}" ] || aws cloudformation signal-resource --region "$REGION" --stack-name "$STACK" \
    --logical-resource-id "$STACK_RESOURCE" --unique-id "$(metadata instance-id)" --status FAILURE
}
trap 'failed "$LINENO" "$BASH_COMMAND"' ERR

cat >/etc/fleet/metadata.sh <<'FILE'
# metadata PATH prints an item of the instance's metadata, by IMDSv2.
metadata() {
  local token
  token=$(curl -fsS --max-time 5 --retry 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
    http://169.254.169.254/latest/api/token) || return
  curl -fsS --max-time 5 --retry 5 -H "X-aws-ec2-metadata-token: $token" \
    "http://169.254.169.254/latest/meta-data/$1"
}
FILE
. /etc/fleet/metadata.sh

# Before each start: the variables of the program, secrets among them. When the
# secrets cannot be read, those of the last start are used again.
cat >/usr/local/sbin/fleet-environment <<'FILE'
#!/bin/bash
set -euo pipefail
. /etc/fleet/settings
. /etc/fleet/metadata.sh
umask 077
file=/etc/default/$PROGRAM
secret() {
  aws secretsmanager get-secret-value --region "$REGION" --secret-id "$1" --query SecretString --output text
}
if ! token=$(secret "$REDIS_SECRET") || ! key=$(secret "$GOSSIP_SECRET"); then
  grep -qs "^${PROGRAM^^}_GOSSIP_KEY=" "$file" && exit 0
  echo "the secrets cannot be read" >&2
  exit 1
fi
address=$(metadata local-ipv4)
{
  echo "${PROGRAM^^}_CLUSTER=$FLEET"
  echo "${PROGRAM^^}_JOIN=$MEMBERS:7946"
  echo "${PROGRAM^^}_BIND=0.0.0.0:7946"
  echo "${PROGRAM^^}_ADVERTISE=$address:7946"
  echo "${PROGRAM^^}_GOSSIP_KEY=$key"
  echo "${PROGRAM^^}_REDIS=rediss://:$token@$REDIS"
  # The machine is the program's own: the collector works harder before memory is out.
  echo "GOMEMLIMIT=$(awk '/^MemTotal:/ { print int($2 * 0.85) }' /proc/meminfo)KiB"
  # The balancer and Prometheus ask here; the security groups let nobody else.
  if [ "$PROGRAM" = dsproxy ]; then
    echo "DSPROXY_ADMIN=$address:9180"
  else
    echo "DEEPSTREAM_ADMIN=$address:9120"
    echo "DEEPSTREAM_NAME=$(metadata instance-id)"
    echo "DEEPSTREAM_ZONE=$(metadata placement/availability-zone)"
  fi
} >"$file.new"
mv "$file.new" "$file"
FILE

# Before the first start, and every half minute: the name that members join by
# holds the addresses of all machines of the fleet. Each machine sets it from EC2's
# own list, so it needs no keeper. The first time it does not look the name up but
# waits until it is there, since resolvers remember for minutes that a name is not.
cat >/usr/local/sbin/fleet-members <<'FILE'
#!/bin/bash
set -euo pipefail
. /etc/fleet/settings
addresses=$(aws ec2 describe-instances --region "$REGION" \
  --filters "Name=tag:dsproxy:fleet,Values=$FLEET" "Name=instance-state-name,Values=pending,running" \
  --query 'Reservations[].Instances[].PrivateIpAddress' --output text | tr -s '[:space:]' '\n' | sort -u)
[ -n "$addresses" ] || exit 0
if [ -e /run/fleet-members ]; then
  [ "$addresses" != "$(getent ahostsv4 "$MEMBERS" | cut -d' ' -f1 | sort -u)" ] || exit 0
fi
records=$(printf '{"Value":"%s"},' $addresses)
change=$(aws route53 change-resource-record-sets --hosted-zone-id "$HOSTED_ZONE" \
  --query ChangeInfo.Id --output text --change-batch \
  '{"Changes":[{"Action":"UPSERT","ResourceRecordSet":{"Name":"'"$MEMBERS"'","Type":"A","TTL":10,"ResourceRecords":['"${records%,}"']}}]}')
[ -e /run/fleet-members ] || aws route53 wait resource-record-sets-changed --id "$change"
touch /run/fleet-members
FILE

# All the time: when the auto scaling group wants the machine gone, the program
# is stopped, which drains it, and the group is told when that is done.
cat >/usr/local/sbin/fleet-lifecycle <<'FILE'
#!/bin/bash
set -uo pipefail
. /etc/fleet/settings
. /etc/fleet/metadata.sh
until [ "$(metadata autoscaling/target-lifecycle-state 2>/dev/null)" = Terminated ]; do
  sleep 5
done
systemctl stop "$PROGRAM.service"
# The hook is not there yet while the balancer still drains, so ask again.
until aws autoscaling complete-lifecycle-action --region "$REGION" --auto-scaling-group-name "$GROUP" \
  --lifecycle-hook-name drain --lifecycle-action-result CONTINUE --instance-id "$(metadata instance-id)"; do
  sleep 5
done
FILE
chmod 0755 /usr/local/sbin/fleet-{environment,members,lifecycle}

cat >/etc/systemd/system/fleet-members.service <<FILE
[Unit]
Description=Address record of the fleet's members
After=network-online.target
Wants=network-online.target
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/fleet-members
TimeoutStartSec=180
FILE
cat >/etc/systemd/system/fleet-members.timer <<FILE
[Unit]
Description=Address record of the fleet's members, kept up to date
[Timer]
OnActiveSec=15
OnUnitInactiveSec=30
RandomizedDelaySec=10
[Install]
WantedBy=timers.target
FILE
cat >/etc/systemd/system/fleet-lifecycle.service <<FILE
[Unit]
Description=Drain when the auto scaling group ends this machine
[Service]
ExecStart=/usr/local/sbin/fleet-lifecycle
Restart=on-failure
[Install]
WantedBy=multi-user.target
FILE
mkdir -p "/etc/systemd/system/$PROGRAM.service.d"
cat >"/etc/systemd/system/$PROGRAM.service.d/10-fleet.conf" <<FILE
[Unit]
After=network-online.target fleet-members.service
Wants=network-online.target fleet-members.service
[Service]
ExecStartPre=+/usr/local/sbin/fleet-environment
TimeoutStopSec=$STOP_SECONDS
FILE

case $PACKAGE in
s3://*) aws s3 cp --region "$REGION" --no-progress "$PACKAGE" /root/package.rpm ;;
*) curl -fsSL --retry 5 -o /root/package.rpm "$PACKAGE" ;;
esac
echo "$PACKAGE_SHA256  /root/package.rpm" | sha256sum --check --status || {
  echo "$PACKAGE has another SHA-256 than $PACKAGE_SHA256" >&2
  false
}
dnf install -y /root/package.rpm
case $PROGRAM in
dsproxy) config=/etc/dsproxy/dsproxy.yaml ;;
deepstream) config=/etc/deepstream/config.yml ;;
esac
install -m 0640 -o root -g "$PROGRAM" /etc/fleet/config "$config"
/usr/local/sbin/fleet-environment
systemctl daemon-reload
systemctl enable --now fleet-members.timer fleet-lifecycle.service
systemctl enable "$PROGRAM.service"
systemctl restart --no-block "$PROGRAM.service"

# The group counts this machine in only now, and gives it up if that takes too
# long: a version that does not work replaces no machine that does.
case $PROGRAM in
dsproxy) port=9180 ;;
deepstream) port=9120 ;;
esac
address=$(metadata local-ipv4)
until curl -fsS -o /dev/null --max-time 5 "http://$address:$port/readyz"; do
  sleep 2
done
aws autoscaling complete-lifecycle-action --region "$REGION" --auto-scaling-group-name "$GROUP" \
  --lifecycle-hook-name boot --lifecycle-action-result CONTINUE --instance-id "$(metadata instance-id)"
if [ -n "${STACK:-}" ]; then
  aws cloudformation signal-resource --region "$REGION" --stack-name "$STACK" \
    --logical-resource-id "$STACK_RESOURCE" --unique-id "$(metadata instance-id)" --status SUCCESS
fi
