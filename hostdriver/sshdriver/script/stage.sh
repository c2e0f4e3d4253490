# stage.sh: bring what a generation needs, without touching anything in use.
#
# Set by the controller: GEN, MANIFEST (its text), BLOBS (lines: digest, size),
# RELEASES (lines, tab separated: key, digest that names it, size, form, owner, group, path,
# digest of its stream), PULLS (see pull.sh), KEYS
# (lines: key of each release that the manifest names), IMAGES (see images.sh), and what
# trial.sh needs.
# What the record "need" names is then read from standard input, in that order.

op_stage() {
	begin_change
	stage_again
	pull_images
	clear_staging
	keep_reserve || stage_fail "cannot set room aside in $D for the way back: $why" "$ADVICE_DISK"
	need= unsynced=
	[ -z "$PULLS" ] || pull_releases
	need_blobs
	need_releases
	tell_offers
	rec need $need
	[ -z "$need_b" ] || stage_blobs
	for release in $RELEASES; do
		IFS=$TAB
		set -- $release
		IFS=$NL
		case "$need$NL" in
		*"$NL$1$NL"*) stage_release "$@" ;;
		esac
	done
	if try_trial; then
		sync_staged
	else
		stage_manifest
	fi
	finish
}

# sync_staged: what is in its place, and not yet there for good ($unsynced); else that is done
# together with the generation.
sync_staged() {
	[ -z "${unsynced-}" ] || try sync -- $unsynced
}

# clear_staging: what a request that was cut has left.
clear_staging() {
	for f in "$D/blobs/.in" "$D/generations/.new"; do
		[ ! -e "$f" ] || rm -rf -- "$f"
	done
}

stage_fail() {
	rm -rf -- "$D/blobs/.in" "$D/generations/.new" "$beside"
	rm -f -- "$R/recipe"
	sync_staged
	die failed "$1; nothing of it was kept" "$2"
}
beside=$D/generations/.new

# stage_again: the same generation staged twice is staged; another one under the same
# or a lower number means that the controller has not seen what is kept here.
stage_again() {
	set +f
	for f in "$D"/generations/[1-9]*/manifest; do
		[ -e "$f" ] || continue
		f=${f%/manifest}
		f=${f##*/}
		[ "$f" -lt "$GEN" ] && continue
		if [ "$f" = "$GEN" ]; then
			old=$(cat "$D/generations/$GEN/manifest")
			head=${old%%"$NL"*} newhead=${MANIFEST%%"$NL"*}
			if [ "${head%"$TAB"*}" = "${newhead%"$TAB"*}" ] && [ "${old#"$head"}" = "${MANIFEST#"$newhead"}" ]; then
				continue
			fi
		fi
		die conflict "generation $f is kept there already, and $GEN is to be staged" "observe again: the new one must be above it"
	done
	set -f
}

# need_blobs: the ones that are not there, or are not what their name says.
need_blobs() {
	have= need_b=
	for blob in $BLOBS; do
		[ -f "$D/blobs/${blob%% *}" ] && have="$have$NL$D/blobs/${blob%% *}"
	done
	sums=
	[ "$have" ] && sums=$(sha256sum -- $have 2>/dev/null)
	for blob in $BLOBS; do
		digest=${blob%% *}
		case "$NL$sums$NL" in
		*"$NL$digest  $D/blobs/$digest$NL"*) ;;
		*) need_b="$need_b$NL$digest" ;;
		esac
	done
	need=$need_b
}

need_releases() {
	for release in $RELEASES; do
		IFS=$TAB
		set -- $release
		IFS=$NL
		has_release "$@" || need="$need$NL$1"
	done
}

# has_release: recorded, and as it was then; or, a lone file, still of that content.
has_release() {
	[ -e "$7" ] && [ -f "$D/releases/$1" ] || return 1
	said=$(cat "$D/releases/$1")
	release_record "$@"
	[ "$said" = "$record" ] && return 0
	[ "$4" = file ] && [ -f "$7" ] && [ ! -L "$7" ] || return 1
	sum=$(sha256sum <"$7") && [ "${sum%% *}" = "$2" ] || return 1
	own_release "$7" "$4" "$5" "$6" && release_record "$@" && put "$D/releases/$1" "$record"
}

# release_record: by what a reading knows that a release is as it was staged, in $record.
release_record() {
	record="released$TAB$2$TAB$4$TAB$7$NL"
	case $4 in
	file) record="${record}stat$TAB$(stat --printf="$STAT" -- "$7")" ;;
	tar)
		tree_seal "$7" "$1"
		record="${record}tree$TAB$seal"
		;;
	esac
}

# receive SIZE FILE: the next bytes of standard input.
receive() {
	try dd bs=65536 count="$1" iflag=count_bytes,fullblock status=none of="$2"
}

stage_blobs() {
	in=$D/blobs/.in
	try mkdir -- "$in" || stage_fail "cannot make $in: $why" "$ADVICE_DISK"
	for blob in $BLOBS; do
		digest=${blob%% *}
		case "$need_b$NL" in
		*"$NL$digest$NL"*) ;;
		*) continue ;;
		esac
		receive "${blob#* }" "$in/$digest" || stage_fail "cannot write to $D/blobs: $why" "$ADVICE_DISK"
	done
	set +f
	set -- "$in"/*
	set -f
	sums=$(cd "$in" && sha256sum -- $need_b)
	for digest in $need_b; do
		case "$NL$sums$NL" in
		*"$NL$digest  $digest$NL"*) ;;
		*) stage_fail "a file arrived damaged or cut" "try again; if it stays so, look at the host's disk and memory" ;;
		esac
	done
	try sync -- "$@" && try mv -f -t "$D/blobs" -- "$@" || stage_fail "cannot write to $D/blobs: $why" "$ADVICE_DISK"
	unsynced=$NL$D/blobs
	rmdir -- "$in"
}

# owners NAME…: who shall own a release may be a user that its manifest brings.
owners() {
	for owner_name; do
		case $NL$MANIFEST in
		*"${NL}user$TAB"*"$TAB$owner_name$TAB"*) ;;
		*) continue ;;
		esac
		for line in $MANIFEST; do
			case $line in
			"user$TAB"*"$TAB$owner_name$TAB"*) ;;
			*) continue ;;
			esac
			split "$line"
			[ "$name" != "$owner_name" ] || make_user "$name" "$target" || return 1
		done
	done
}

# own_release PATH FORM OWNER GROUP
own_release() {
	case $2 in
	file) { [ "$3$4" = rootroot ] && [ -O "$1" ] && [ -G "$1" ] || try chown -- "$3:$4" "$1"; } && try chmod 0755 -- "$1" ;;
	tar) try chown -hR -- "$3:$4" "$1" && try chmod 0755 -- "$1" ;;
	esac
}

# stage_manifest keeps the manifest beside links to its blobs, so that a blob's link
# count tells whether any generation needs it.
stage_manifest() {
	if [ -d "$D/generations/$GEN" ]; then
		sync_staged || die failed "cannot write to $D: $why" "$ADVICE_DISK"
		return
	fi
	new=$D/generations/.new
	try mkdir -p -- "$new/blobs" "$new/releases" || stage_fail "cannot write to $D: $why" "$ADVICE_DISK"
	printf '%s\n' "$MANIFEST" >"$new/manifest" || stage_fail "cannot write to $D/generations" "$ADVICE_DISK"
	blobs=
	for line in $MANIFEST; do
		IFS=$TAB
		set -- $line
		IFS=$NL
		case $1 in
		file)
			[ -f "$D/blobs/$4" ] || stage_fail "the content of $3 was not sent" "this is a fault of evenkeel's; observe and plan again"
			# Two files may have the same content.
			case "$blobs$NL" in
			*"/$4$NL"*) ;;
			*) blobs="$blobs$NL$D/blobs/$4" ;;
			esac
			;;
		release)
			[ -e "$3" ] || stage_fail "the release $3 was not sent" "this is a fault of evenkeel's; observe and plan again"
			;;
		esac
	done
	for key in $KEYS; do
		[ -f "$D/releases/$key" ] || stage_fail "a release has no record" "this is a fault of evenkeel's; observe and plan again"
		true >"$new/releases/$key" || stage_fail "cannot write to $D/generations" "$ADVICE_DISK"
	done
	try ln -s -- "generations/$GEN" "$new/link" || stage_fail "cannot write to $D/generations: $why" "$ADVICE_DISK" # see point_current
	[ -z "$blobs" ] || try ln -f -t "$new/blobs" -- $blobs || stage_fail "cannot write to $D/generations: $why" "$ADVICE_DISK"
	try sync -- "$new/manifest" "$new/blobs" "$new/releases" "$new" $unsynced && try mv -T -- "$new" "$D/generations/$GEN" &&
		try sync -- "$D/generations" || stage_fail "cannot write to $D/generations: $why" "$ADVICE_DISK"
}
