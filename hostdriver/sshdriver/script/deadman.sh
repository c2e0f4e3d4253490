# deadman.sh: a timer on the host that restores the generation before, unless it is
# disarmed over a connection made after the switch. It lives in /run: a reboot ends it.

DEADMANUNIT=evenkeel-deadman

# rearm: a switch does away with the timer of the one before, and may want its own.
rearm() {
	if [ -e "$D/deadman" ]; then
		IFS=' ' read -r state a b rest <"$D/deadman"
		[ "$state" != armed ] || stand_down
	fi
	[ "$DEADMAN" = 0 ] || arm
}

arm() {
	stand_down
	receive_deadman || die failed "cannot write $R/deadman: $why" "is /run full there?"
	put "$D/deadman" "armed $from $TO $EPOCH" || die failed "$why" "$ADVICE_DISK"
	try systemd-run --quiet --collect --unit="$DEADMANUNIT" --on-active="$DEADMAN" --timer-property=AccuracySec=100ms \
		--description="evenkeel: back to generation $from unless disarmed" /bin/sh "$R/deadman" && return 0
	rm -f -- "$D/deadman"
	die failed "cannot arm the dead man's timer: $why" "switch without it, or see why systemd-run fails there"
}

receive_deadman() {
	try dd bs=65536 count="$DEADMANSIZE" iflag=count_bytes,fullblock status=none of="$R/deadman.new" &&
		try mv -f -- "$R/deadman.new" "$R/deadman"
}

stand_down() {
	systemctl stop "$DEADMANUNIT.timer" "$DEADMANUNIT.service" >/dev/null 2>&1
	rm -f -- "$R/deadman"
	drop "$D/deadman"
}

# op_disarm: it may have come too late.
op_disarm() {
	begin_change
	state=
	[ -e "$D/deadman" ] && IFS=' ' read -r state a b rest <"$D/deadman"
	stand_down
	[ "$state" = fired ] &&
		die conflict "the dead man's timer has fired: generation $a is back, $b is not on disk" "observe and plan again"
	finish
}

# op_deadman is what the timer runs. Who has come after the one who armed it knows
# better: then nothing is done.
op_deadman() {
	be_root
	LOCKWAIT=300
	lock
	read_epoch
	[ "$epoch" = "$EPOCH" ] || exit 0
	state=
	[ -e "$D/deadman" ] && IFS=' ' read -r state from TO rest <"$D/deadman"
	[ "$state" = armed ] || exit 0
	# Something else may be on disk by now.
	current=$(readlink -- "$D/current")
	[ "${current##*/}" = "$TO" ] || [ -e "$D/switching" ] || exit 0
	bump
	make_room "$TO"
	put "$D/switching" "$from $TO"
	put "$D/deadman" "fired $from $TO $EPOCH"
	stop_new
	if switch_to "$from" "$TO"; then
		drop "$D/switching"
	else
		printf '%s\n' "generation $from could not be put back: $why"
	fi
	start_again
	bump
}

# stop_new stops units that only the newer generation has, while their files are there.
stop_new() {
	to=$from other=$TO
	load_generation || return
	for line in $gone; do
		split "$line"
		[ "$kind" = unit ] && manager "$name" && timeout 120 $ctl --no-ask-password stop -- "$bare"
	done
}

# start_again: units that were started with the newer generation, and those that shall
# run and do not.
start_again() {
	i=0
	while [ "$i" -lt "$count" ]; do
		i=$((i + 1))
		entry "$i"
		[ "$kind" = unit ] || continue
		verb=
		[ "$state" = started ] && verb=start
		for f in "$D/started/$name" "$D/wanted/$name"; do
			[ -e "$f" ] && IFS=$TAB read -r a b <"$f" && [ "$b" = "$TO" ] && verb=restart
		done
		[ "$verb" ] && manager "$name" || continue
		$ctl reset-failed -- "$bare" 2>/dev/null
		timeout 120 $ctl --no-ask-password "$verb" -- "$bare"
		rm -f -- "$D/started/$name" "$D/wanted/$name"
	done
}
