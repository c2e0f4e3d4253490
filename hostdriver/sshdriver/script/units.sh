# units.sh: start, stop, restart or reload units, one after the other, each to the end
# of its job.
#
# Set by the controller: ACTIONS (lines, tab separated: unit, verb, only-if
# InvocationID or "-", generation, then the inputs, "DIGEST PATH" each), TIMEOUT
# (seconds a job), RECORD.

op_units() {
	begin_change
	checked= met=
	for action in $ACTIONS; do
		IFS=$TAB
		set -- $action
		IFS=$NL
		check_unit "$@"
		checked="$checked$NL$1" met="$met$NL$1 $id"
	done
	put_record
	units= told=
	for action in $ACTIONS; do
		IFS=$TAB
		set -- $action
		IFS=$NL
		act "$@"
	done
	tell_states
	finish
}

unit_state() {
	manager "$1" || die failed "$1: $why" "$mend"
	why=$($ctl show --no-pager -p LoadState,ActiveState,SubState,Result,InvocationID,Job,NRestarts,ActiveEnterTimestampMonotonic,StartLimitIntervalUSec -- "$bare" 2>&1) ||
		unheard_of "$why"
	take_state $why
}

# unheard_of WHY: nobody answers for the unit in hand. Of the host's own systemd, which may be
# going down, that says nothing of the unit.
unheard_of() {
	[ -z "$user" ] || die failed "$ask show $bare: $1" "is systemd running there, and that of user $user: systemctl status user@$uid.service?"
	die unknown "$ask show $bare: $1" "is systemd running there?"
}

take_state() {
	load= active= sub= result= id= job= restarts= entered= interval=
	for line; do
		case $line in
		LoadState=*) load=${line#*=} ;;
		ActiveState=*) active=${line#*=} ;;
		SubState=*) sub=${line#*=} ;;
		Result=*) result=${line#*=} ;;
		InvocationID=*) id=${line#*=} ;;
		Job=*) job=${line#*=} ;;
		NRestarts=*) restarts=${line#*=} ;;
		ActiveEnterTimestampMonotonic=*) entered=${line#*=} ;;
		StartLimitIntervalUSec=*) interval=${line#*=} ;;
		esac
	done
}

# check_unit, for all before the first is touched: a queued job is somebody else's, and
# is neither replaced nor joined, unless it is one of ours that was waited for in vain.
check_unit() {
	unit_state "$1"
	case ${job:-0} in
	0) ;;
	*)
		own_job "$1" || die refused "$1 has a job queued already, number $job; nothing was done" \
			"see $ask list-jobs there; wait for it, or cancel it with $ask cancel $job"
		[ "$active" != deactivating ] ||
			die failed "$1 has not stopped yet, for a job of ours, number $job; nothing was done" \
				"see $ask status $bare there; $ask kill -s KILL $bare ends it for good"
		;;
	esac
	case $2 in
	stop) ;;
	*)
		[ "$load" = masked ] && die failed "$1 is masked; nothing was done" "$ask unmask $bare there, or suspend the host"
		[ "$load" = not-found ] && die failed "$1 is not there; nothing was done" "is its file managed, or its package installed?"
		;;
	esac
}

# taken_along UNIT: a job that systemd has queued for it by an earlier action of this
# request is waited for. (Before the first one there was none.)
taken_along() {
	waited=0
	while [ "${job:-0}" != 0 ] && [ "$waited" -lt "$((TIMEOUT * 5))" ]; do
		sleep 0.2
		waited=$((waited + 1))
		unit_state "$1"
	done
}

# own_job UNIT: whether its job is one that we have left there (see outcome).
own_job() {
	own=
	[ "${job:-0}" != 0 ] && [ -e "$R/job.$1" ] && read -r own <"$R/job.$1" && [ "$own" = "$job" ]
}

# act UNIT VERB ONLYIF GENERATION INPUT…
act() {
	# Where there is but one, its state was asked for a moment ago.
	[ "$checked" = "$NL$1" ] || unit_state "$1"
	checked=
	[ -z "$units" ] || taken_along "$1"
	units="$units$NL$1" told=
	if [ "$3" != - ] && [ "$id" != "$3" ]; then
		case "$met$NL" in
		*"$NL$1 $3$NL"*)
			# It was the one meant when this request came: another action has taken it along, and
			# it has read what is on disk now.
			unit=$1 other_id=$id generation=$4
			shift 4
			[ -z "$other_id" ] || note "$D/started/$unit" "$other_id" "$@" || die failed "$unit was started, but not noted: $why" "$ADVICE_DISK"
			rm -f -- "$D/wanted/$unit"
			rec skipped "$unit"
			return
			;;
		esac
		settle "$1" "$id"
		rec skipped "$1"
		return
	fi
	unit=$1 verb=$2 before=$id generation=$4
	manager "$unit"
	shift 4
	if [ "$verb" != stop ]; then
		note "$D/wanted/$unit" "${before:--}" "$@" || die failed "$why; $unit was not touched" "$ADVICE_DISK"
	fi
	case $verb in
	start | restart)
		# Manual starts count toward the start limit as crashes do. What is wanted here must
		# not be refused for it, least of all after a restart has stopped the unit.
		never_up || long_up || $ctl reset-failed -- "$bare" 2>/dev/null
		;;
	esac
	case $verb.$unit in
	restart.*.socket) turn_socket || die failed "$why" "look at $ask status $bare there" ;;
	esac
	mode=fail
	! own_job "$unit" || mode=replace
	try timeout "$TIMEOUT" $ctl --job-mode="$mode" --no-ask-password "$verb" -- "$bare" 9>&-
	ended=$? said=$why told=
	if [ "$units" = "$NL$unit" ]; then
		# Where there is but one, what is asked now is what is told in the end.
		show_of "$bare" || unheard_of "$shown"
		told=1
		take_state $shown
	else
		unit_state "$unit"
	fi
	outcome "$@"
}

# turn_socket stops a socket and then what it has started, for systemd refuses to start a
# socket while that runs. The socket goes first: nobody can start the service anew meanwhile.
turn_socket() {
	triggers=$($ctl show --value -p Triggers -- "$bare" 2>/dev/null)
	IFS=' '
	set -- $triggers
	IFS=$NL
	[ $# -gt 0 ] && [ -n "$($ctl show --value -p MainPID -- "$@" | tr -d '0\n')" ] || return 0
	try timeout "$TIMEOUT" $ctl --job-mode=fail --no-ask-password stop -- "$bare" 9>&- &&
		try timeout "$TIMEOUT" $ctl --job-mode=fail --no-ask-password stop -- "$@" 9>&-
}

# never_up: whether the unit was not started since systemd knows it.
never_up() {
	[ "$id$active$result" = inactivesuccess ]
}

# long_up: whether the last start of the unit is of so long ago that it counts toward no
# start limit any more.
long_up() {
	[ "$active $result $restarts" = "active success 0" ] || return 1
	case $interval in
	0) return 0 ;;
	*[!0-9s]* | '' | s*) return 1 ;;
	*s) interval=${interval%s} ;;
	*) return 1 ;;
	esac
	case $interval$entered in
	*[!0-9]*) return 1 ;;
	esac
	up=
	read -r up rest </proc/uptime
	case ${up%%.*} in
	'' | *[!0-9]*) return 1 ;;
	esac
	[ "${entered:-0}" -gt 0 ] && [ $((${up%%.*} - entered / 1000000)) -gt $((interval + 1)) ]
}

# tell_states: those of $units, which were asked for a moment ago where there is but one.
tell_states() {
	if [ "$told" ]; then
		rec units "$unit"
		printf '%s\n' "$shown" >&3
		return
	fi
	show_units
}

# note FILE ID INPUT…: what a unit is, or is about to be, started with. Where the power is
# cut, all processes are started anew, and no note holds for them.
note() {
	file=$1 lines="$2$TAB$generation"
	shift 2
	for input; do
		lines="$lines$NL${input%% *}$TAB${input#* }"
	done
	jot "$file" "$lines" || { going_back && rm -- "$D/reserve" 2>/dev/null && jot "$file" "$lines"; }
}

# going_back: whether what is started is what the step in hand goes back to. The room that was
# set aside is for that.
going_back() {
	step=
	[ -e "$D/step" ] && read -r step <"$D/step"
	case $step in
	*"\"from\":$generation,"*) ;;
	*) return 1 ;;
	esac
}

# settle: a start whose request was cut, but that has happened since.
settle() {
	[ -e "$D/wanted/$1" ] && [ "$2" ] || return 0
	said=$(cat "$D/wanted/$1")
	[ "$said" ] && [ "${said%%"$TAB"*}" != "$2" ] || return 0
	jot "$D/started/$1" "$2$TAB${said#*"$TAB"}" && rm -f -- "$D/wanted/$1"
}

outcome() {
	[ ! -e "$R/job.$unit" ] || rm -f -- "$R/job.$unit"
	if [ "$ended" = 124 ]; then
		[ "${job:-0}" = 0 ] || printf '%s\n' "$job" >"$R/job.$unit"
		tell_states
		die unknown "$ask $verb $bare has not ended within $TIMEOUT s; it is $active ($sub) and its job goes on" \
			"look at $ask status $bare there"
	fi
	if [ "$verb" = stop ]; then
		[ "$ended" = 0 ] && rm -f -- "$D/started/$unit" "$D/wanted/$unit"
	elif [ "$id" != "$before" ] || [ "$verb" = reload ]; then
		[ -z "$id" ] || [ "$ended" != 0 ] || note "$D/started/$unit" "$id" "$@" || die failed "$unit was started, but not noted: $why" "$ADVICE_DISK"
		rm -f -- "$D/wanted/$unit"
	else
		# It ran already: who started it, and with what, is not known.
		rm -f -- "$D/wanted/$unit"
	fi
	case "$ended $verb $active" in
	0\ stop\ * | 0\ *\ active | 0\ *\ activating | 0\ *\ reloading | 0\ *\ inactive) return ;;
	esac
	tell_states
	# Who goes down stops everything and starts nothing: that says nothing of the unit. Nor
	# does a job of somebody else that came in between, of which the next try tells more.
	case "$(systemctl is-system-running 2>/dev/null)/$said" in
	running/*" is destructive"* | degraded/*" is destructive"* | starting/*" is destructive"*)
		die unknown "another job is in the way: $said" "see $ask list-jobs there"
		;;
	running/* | degraded/* | starting/* | initializing/* | maintenance/*) ;;
	*) die unknown "the host is going down: $said" "wait until it is up again" ;;
	esac
	rec failed "$unit" "$verb" "$ended"
	tell_journal
	said_by="journalctl -u $unit"
	[ -z "$user" ] || said_by="journalctl _SYSTEMD_USER_UNIT=$bare _UID=$uid"
	die failed "$said" "look at $ask status $bare and $said_by there"
}

# tell_journal: the last words of this invocation, of which some may still be on their way.
# They may hold secrets. What a process said that was gone when the journal looked at it has
# no InvocationID, but its unit's name.
tell_journal() {
	[ "$id" ] || return 0
	timeout 5 journalctl --sync >/dev/null 2>&1
	since=$($ctl show --value -p InactiveExitTimestamp -- "$bare" 2>/dev/null)
	set -- "INVOCATION_ID=$id" + "_SYSTEMD_UNIT=$unit"
	[ -z "$user" ] || set -- "USER_INVOCATION_ID=$id" + "_SYSTEMD_USER_UNIT=$bare" "_UID=$uid"
	lines=$(timeout 5 journalctl --no-pager -q -n 5 -o cat --since="${since:--1min}" "_SYSTEMD_INVOCATION_ID=$id" + "$@" 2>/dev/null | head -c 4096)
	rec detail
	printf '%s\n' "$lines" >&3
}
