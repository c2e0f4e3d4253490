# check.sh: what a step would trip over, looked for without changing anything. It takes
# no lock: a host whose disk is full or read-only must be able to say so.
#
# Set by the controller: ROOMS (lines, tab separated: directory, bytes, inodes), UNITS,
# PULLS (see pull.sh), what trial.sh needs, and the fence.

op_precheck() {
	be_root
	[ -d "$D" ] && check_epoch
	check_rooms
	check_units
	[ -z "$PULLS" ] || check_pulls
	MANIFEST=
	try_trial
	finish
}

check_rooms() {
	[ "$ROOMS" ] || return 0
	flags=
	set --
	for line in $ROOMS; do
		near "${line%%"$TAB"*}"
		set -- "$@" "$near"
		if [ -w "$near" ]; then
			flags="$flags${NL}rw"
		else
			flags="$flags${NL}ro"
		fi
	done
	rec rooms $flags
	df --output=avail,iavail,itotal,target -B1 -- "$@" >&3 2>&1
}

check_units() {
	[ "$UNITS" ] || return 0
	rec units $UNITS
	props=$PROPS PROPS=Id,LoadState,ActiveState,SubState,UnitFileState,Job
	show $UNITS
	PROPS=$props
	printf '%s\n' "$shown" >&3
	for unit in $UNITS; do
		[ ! -e "$R/job.$unit" ] || { read -r own <"$R/job.$unit" && rec ours "$unit" "$own"; }
	done
}
