package metrics

import "github.com/prometheus/client_golang/prometheus"

// all are the descriptions of every metric.
var all []*prometheus.Desc

func desc(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc("evenkeel_"+name, help, labels, nil)
	all = append(all, d)
	return d
}

var (
	buildInfo    = desc("build_info", "Which evenkeel this is; always 1.", "version", "commit", "goversion")
	snapshotTime = desc("snapshot_timestamp_seconds", "When what is told here was so.")
	lastSuccess  = desc("last_success_timestamp_seconds", "When the fleet was last found, or brought, as git wants it.")
	condition    = desc("condition", "The fleet's conditions: 1 for the status that each has.", "type", "status")
	suspensions  = desc("suspensions", "What is not to be touched, by kind: host, service or fleet.", "kind")
	handDrains   = desc("hand_drains", "Hosts that an operator took out of traffic through the controller.")

	sourceUp      = desc("source_up", "1 where the last fetch went well and its tip was accepted.")
	sourceFetched = desc("source_last_fetch_timestamp_seconds", "When git was last fetched well.")
	revisionInfo  = desc("revision_info", "The desired revision; always 1.", "revision")
	revisionAge   = desc("revision_age_seconds", "How long ago the desired revision was committed.")

	hostReachable   = desc("host_reachable", "1 where the host answered the last look.", "host")
	hostSuspended   = desc("host_suspended", "1 where the host is not to be touched.", "host")
	hostWatched     = desc("host_watched", "1 where changes on the host are seen at once, 0 where it is polled.", "host")
	observationTook = desc("observation_duration_seconds", "How long the last look at the host took.", "host")
	observationTime = desc("observation_timestamp_seconds", "When the host was last looked at.", "host")

	instances      = desc("instances", "Instances of a service, by how they compare with git and how they serve.", "service", "sync", "health")
	staleInstances = desc("stale_instances", "Instances of which a process runs with older inputs than those on disk.", "service")
	drift          = desc("drift", "Differences between hosts and the revision last applied to them, by class.", "class")

	rolloutRunning = desc("rollout_in_progress", "1 while a rollout is under way.")
	rolloutPhase   = desc("rollout_phase", "Hosts of the rollout under way, by the phase of their step; ended ones are of the last rollout, too.", "phase")
	rolloutHalted  = desc("rollout_halted", "1 where the rollout under way, or the last one, halted.")
	rolloutResult  = desc("rollout_result", "How the last rollout ended: 1 for its result.", "result")
	rolloutBegan   = desc("rollout_start_timestamp_seconds", "When the rollout under way, or the last one, began.")
	rolloutEnded   = desc("rollout_end_timestamp_seconds", "When the last rollout ended.")
	leftDrained    = desc("left_drained", "Visits that ended with an instance still out of traffic through our doing.")

	secretMade    = desc("secret_made_timestamp_seconds", "When the value of a secret was made, as far as the fleet repo says.", "secret")
	secretDue     = desc("secret_due_timestamp_seconds", "When a secret is to be rotated.", "secret")
	secretOverdue = desc("secret_overdue", "1 where a secret should have been rotated by now.", "secret")
	secretBehind  = desc("secret_instances_behind", "Instances that are not through with a secret's rotation: their processes hold the value before, or it is not known what they hold.", "secret")
	secretPhase   = desc("secret_rotation_phase", "How far a secret's rotation is: 1 for its phase.", "secret", "phase")

	queueDepth = desc("queue_depth", "Work that waits, by kind.", "queue")
)
