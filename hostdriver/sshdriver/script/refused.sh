# refused.sh: what was taken back here of a service, and is not to be brought again: a
# line of JSON each.
#
# Set by the controller: REFUSE (lines, tab separated: service, its record), FORGET
# (lines: services).

refuse() {
	[ "$REFUSE" ] || return 0
	[ -d "$D/refused" ] || try mkdir -p -- "$D/refused" || return 1
	for line in $REFUSE; do
		put "$D/refused/${line%%"$TAB"*}.refused" "${line#*"$TAB"}" || return 1
	done
}

forget() {
	for service in $FORGET; do
		drop "$D/refused/$service.refused" || return 1
	done
}

op_forget() {
	begin_change
	forget || die failed "cannot remove from $D/refused: $why" "$ADVICE_DISK"
	finish
}
