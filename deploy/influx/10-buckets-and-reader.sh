#!/bin/sh
# Runs once, when the container of InfluxDB 2.x has set up an empty data directory (pos_events is made by that setup).
# It makes the other buckets, and the user that Grafana reads with: it may read these buckets and nothing else.
set -eu
: "${DOCKER_INFLUXDB_INIT_ORG:?}" "${DOCKER_INFLUXDB_INIT_BUCKET_ID:?}"
: "${TILLWATCH_GRAFANA_PASSWORD:?is the password that Grafana reads with}"

# bucket NAME RETENTION SHARD prints the id of the new bucket.
bucket() {
  influx bucket create --org "$DOCKER_INFLUXDB_INIT_ORG" --name "$1" --retention "$2" --shard-group-duration "$3" --hide-headers | cut -f 1
}

events=$DOCKER_INFLUXDB_INIT_BUCKET_ID
influx bucket update --id "$events" --retention 90d --shard-group-duration 7d --hide-headers >/dev/null
raw=$(bucket pos_raw 14d 1d)
rollup=$(bucket pos_rollup 400d 7d)

influx v1 auth create --org "$DOCKER_INFLUXDB_INIT_ORG" --username grafana --password "$TILLWATCH_GRAFANA_PASSWORD" \
  --description "tillwatch: Grafana reads" --read-bucket "$events" --read-bucket "$raw" --read-bucket "$rollup" >/dev/null
