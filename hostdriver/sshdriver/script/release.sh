# release.sh: bring one release: what of it is here already is not sent again.
#
# Beside a release's record is the index of its chunks, $D/chunks/KEY, which only the
# controller reads. What has come of a release that was cut off is kept beside its place as
# .evenkeel-part.KEY.ID, where ID tells what it is the beginning of.
#
# For each release that is needed standard input has a line "ID ENCODING BASE SIZE FROM
# RECIPESIZE KEY", the recipe (lines "n BYTES" for what is sent, "c FROM BYTES NAME" for what
# is copied from the release whose key is BASE, "e FROM" for all of that file from there on,
# "p AT BYTES" for what is sent to be written over what is there), SIZE-FROM bytes, a line
# with the size of the index and the Poly1305 tag of the whole under KEY (each "-" if there is
# none), and the index.

SMALL=65536

# tell_offers: what of the releases that are needed is here. Set: RELEASES, need.
tell_offers() {
	told_tools=
	for release in $RELEASES; do
		IFS=$TAB
		set -- $release
		IFS=$NL
		[ "$3" -ge "$SMALL" ] || continue
		case "$need$NL" in
		*"$NL$1$NL"*) ;;
		*) continue ;;
		esac
		[ "$told_tools" ] || ! command -v zstd >/dev/null || rec tools zstd
		told_tools=1
		tell_part "$@"
		tell_base "$@"
	done
}

tell_part() {
	set +f
	for f in "${7%/*}"/.evenkeel-part."$1".*; do
		[ -f "$f" ] && [ ! -L "$f" ] || continue
		size=$(stat -c %s -- "$f") && rec part "$1" "${f##*.}" "$size"
	done
	set -f
}

# tell_base: the index of another release of the same artifact that is as it was staged,
# rather of the one on disk.
tell_base() {
	now=
	[ -f "$D/current/manifest" ] && now=$(cat -- "$D/current/manifest")
	base=
	set +f
	for f in "$D"/chunks/*; do
		[ -s "$f" ] && [ -f "$D/releases/${f##*/}" ] || continue
		IFS=$TAB read -r a old form path <"$D/releases/${f##*/}"
		[ "$form" = "$4" ] && [ "${path%/*}" = "${7%/*}" ] && [ "$path" != "$7" ] || continue
		is_base "${f##*/}" "$old" "$path" || continue
		base=${f##*/}
		case $now in
		*"$TAB$path$TAB"*) break ;;
		esac
	done
	set -f
	[ -z "$base" ] || {
		rec base "$1" "$base"
		cat -- "$D/chunks/$base" >&3
	}
}

# is_base KEY DIGEST PATH: whether that release is as it was staged.
is_base() {
	[ -e "$3" ] || return 1
	said= rest=
	{ IFS= read -r said && IFS= read -r rest; } <"$D/releases/$1"
	release_record "$1" "$2" - "$form" - - "$3"
	[ "$said$NL$rest" = "$record" ]
}

# stage_release KEY DIGEST SIZE FORM OWNER GROUP PATH STREAM: put together beside its place, and
# put there whole once the digest is right.
stage_release() {
	dir=${7%/*}
	advice="see whether the filesystem of $dir is full or read-only: df $dir; df -i $dir"
	[ -d "$dir" ] || (umask 022 && try mkdir -p -- "$dir") || stage_fail "cannot make $dir" "$advice"
	beside=$dir/.evenkeel-new.$1
	[ ! -e "$beside" ] && [ ! -L "$beside" ] || rm -rf -- "$beside"
	IFS=' ' read -r id encoding base size from recipe mackey || stage_fail "the release $7 was not sent" "try again"
	part=$dir/.evenkeel-part.$1.$id
	clear_parts "$1"
	if [ "$recipe" != 0 ]; then
		receive "$recipe" "$R/recipe" || stage_fail "cannot write to $R: $why" "is $R full? df $R"
		path=
		[ ! -f "$D/releases/$base" ] || IFS=$TAB read -r a old form path <"$D/releases/$base"
	fi
	receive_part "$@"
	index=0 tag=-
	IFS=' ' read -r index tag || arrived_cut "$@"
	case $4 in
	file) release_file "$@" ;;
	tar) release_tar "$@" ;;
	esac
	[ "$recipe$encoding" = 0none ] && [ ! -e "$part" ] || rm -f -- "$part" "$R/recipe"
	if [ "$sum" != "$8" ]; then
		[ "$from$recipe" = 00 ] || rec retry
		[ "$recipe" = 0 ] || rm -f -- "$D/chunks/$base"
		stage_fail "the release $7 arrived damaged or cut" "try again; if it stays so, compare the artifact with its sha256"
	fi
	[ "$index" = 0 ] || receive "$index" "$D/chunks/$1.new" || stage_fail "cannot write to $D: $why" "$ADVICE_DISK"
	settle_release "$@"
}

# settle_release KEY DIGEST SIZE FORM OWNER GROUP PATH: what is whole beside its place gets its owner and is
# put there. Set: index.
settle_release() {
	owners "$5" "$6" || stage_fail "$why" "$mend"
	own_release "$beside" "$4" "$5" "$6" || stage_fail "cannot give $7 to $5:$6: $why" "does that user exist there? the service may declare it"
	[ "$4" = file ] && filesystem= || filesystem=-f
	try sync $filesystem -- "$beside" || stage_fail "cannot write $7: $why" "$advice"
	forget_hooks "$1" || stage_fail "$why" "$ADVICE_DISK"
	# Whatever has its name was no release of ours, or no longer is as it was.
	[ -e "$7" ] && [ "$4" = tar ] && { try mv -fT -- "$7" "$beside.old" || stage_fail "cannot move $7 away: $why" "$advice"; }
	try mv -fT -- "$beside" "$7" || stage_fail "cannot put $7 in its place: $why" "$advice"
	[ ! -e "$beside.old" ] || rm -rf -- "$beside.old"
	release_record "$@"
	# It is there for good once that holds of the generation that needs it.
	jot "$D/releases/$1" "$record" || stage_fail "$why" "$ADVICE_DISK"
	unsynced="$unsynced$NL$dir$NL$D/releases/$1$NL$D/releases"
	keep_index "$1"
	beside=$D/generations/.new
}

# forget_hooks KEY: what hooks had made of a release goes with it.
forget_hooks() {
	set +f
	set -- "$D"/hooks/"$1".*
	set -f
	[ ! -e "$1" ] || { try rm -f -- "$@" && try sync -- "$D/hooks"; }
}

# keep_index: an index that is lost costs a transfer, no more.
keep_index() {
	if [ "$index" != 0 ] && [ "$(stat -c %s -- "$D/chunks/$1.new")" = "$index" ]; then
		mv -f -- "$D/chunks/$1.new" "$D/chunks/$1"
	else
		rm -f -- "$D/chunks/$1.new" "$D/chunks/$1"
	fi
}

# clear_parts KEY: parts of something else, and what nobody has gone on with for a day.
clear_parts() {
	set +f
	for f in "$dir"/.evenkeel-part.*; do
		[ -e "$f" ] || continue
		case $f in
		"$part") ;;
		"$dir/.evenkeel-part.$1."*) rm -f -- "$f" ;;
		*) find "$f" -maxdepth 0 -type f -mmin +1440 -delete ;;
		esac
	done
	set -f
}

# pick_hash SIZE: hash reads standard input. Where there is openssl, it is several times as
# fast as coreutils.
pick_hash() {
	if [ "$1" -ge 1048576 ] && case $(openssl dgst -sha256 -r </dev/null 2>/dev/null) in
		e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855*) ;;
		*) false ;;
		esac then
		hash() { openssl dgst -sha256 -r; }
	else
		hash() { sha256sum; }
	fi
}

# sum_of FILE SIZE DIGEST: its digest, in $sum. That its tag is right tells as much, in a third
# of the time. Where it is not, or openssl has no such thing, the digest decides. Who sees
# processes, here or on another host, sees the key: what is put together of a base that is
# another user's, who might change it meanwhile, is digested.
sum_of() {
	if [ "$2" -ge 1048576 ] && [ "$tag" != - ] && { [ "$recipe" = 0 ] || [ -O "$path" ]; } &&
		[ "$(openssl mac -macopt hexkey:"$mackey" -in "$1" Poly1305 2>/dev/null)" = "$tag" ]; then
		sum=$3
		return
	fi
	pick_hash "$2"
	sum=$(hash <"$1")
	sum=${sum%% *}
}

# receive_part: the bytes of $part from $from on. One that is cut off stays, unless it is
# small, for the next time.
receive_part() {
	if [ "$from" = 0 ] && { [ -e "$part" ] || [ -L "$part" ]; }; then
		rm -f -- "$part"
	fi
	try dd bs=65536 count=$((size - from)) iflag=count_bytes,fullblock oflag=append conv=notrunc status=none of="$part" || {
		rm -f -- "$part"
		stage_fail "cannot write $7: $why" "$advice"
	}
}

# arrived_cut: what should follow the part has not come.
arrived_cut() {
	has=$(stat -c %s -- "$part")
	[ "$has" != "$size" ] || stage_fail "the release $7 arrived cut" "try again: what has come need not come again"
	[ "${has:-0}" -ge "$SMALL" ] || rm -f -- "$part"
	stage_fail "the release $7 arrived cut, $((has - from)) bytes of $((size - from))" "try again: what has come need not come again"
}

# decode: the bytes that were sent, on standard output.
decode() {
	case $encoding in
	gzip) gzip -dc <"$part" ;;
	zstd) zstd -dcq <"$part" ;;
	none) cat <"$part" ;;
	*) return 1 ;;
	esac
}

# put_together: the stream, on standard output.
put_together() {
	if [ "$recipe" = 0 ]; then
		decode
	else
		decode | follow_recipe
	fi
}

# follow_recipe: what is sent comes on standard input. Where there is perl it is one process for
# all lines, and else one for each.
follow_recipe() {
	if [ "$recipe" -gt 200 ] && command -v perl >/dev/null; then
		perl -e "$FOLLOW" "$R/recipe" "$path" "$beside"
		return
	fi
	exec 4<"$R/recipe"
	while IFS=$TAB read -r what a b name <&4; do
		case $what in
		n) dd bs=65536 count="$a" iflag=count_bytes,fullblock status=none || return ;;
		c) dd bs=131072 skip="$a" count="$b" iflag=skip_bytes,count_bytes,fullblock status=none if="$path${name:+/$name}" || return ;;
		e) copy_end "$a" <"$path" || return ;;
		p) dd bs=65536 count="$b" iflag=count_bytes,fullblock seek="$a" oflag=seek_bytes conv=notrunc status=none of="$beside" || return ;;
		*) return 1 ;;
		esac
	done
}

# FOLLOW RECIPE BASE NEW: the same in perl.
FOLLOW='
my ($recipe, $base, $new) = @ARGV;
sub pass {
	my ($from, $left, $to) = @_;
	while ($left > 0) {
		my $has = sysread($from, my $bytes, $left < 131072 ? $left : 131072);
		defined $has or die "cannot read: $!\n";
		$has or die "it ends too early\n";
		for (my $at = 0; $at < $has; ) {
			my $wrote = syswrite($to, $bytes, $has - $at, $at);
			defined $wrote or die "cannot write: $!\n";
			$at += $wrote;
		}
		$left -= $has;
	}
}
sub at {
	my ($how, $name, $at) = @_;
	sysopen(my $file, $name, $how) or die "cannot open $name: $!\n";
	sysseek($file, $at, 0) or die "cannot seek in $name: $!\n";
	return $file;
}
open(my $lines, "<", $recipe) or die "cannot open $recipe: $!\n";
my $over;
while (<$lines>) {
	chomp;
	my ($what, $a, $b, $name) = split(/\t/, $_, 4);
	if ($what eq "n") {
		pass(*STDIN, $a, *STDOUT);
	} elsif ($what eq "c") {
		pass(at(0, $name eq "" ? $base : "$base/$name", $a), $b, *STDOUT);
	} elsif ($what eq "e") {
		my $file = at(0, $base, $a);
		defined(my $child = fork) or die "cannot fork: $!\n";
		if ($child == 0) {
			open(STDIN, "<&", $file) and exec("cat");
			die "cannot run cat: $!\n";
		}
		waitpid($child, 0);
		exit 1 if $?;
	} elsif ($what eq "p") {
		$over ||= at(1, $new, 0);
		sysseek($over, $a, 0) or die "cannot seek in $new: $!\n";
		pass(*STDIN, $b, $over);
	} else {
		die "not a line: $_\n";
	}
}
'

# copy_end FROM: standard input from there on. Where the kernel can copy by itself, cat has
# it do so.
copy_end() {
	[ "$1" = 0 ] || dd skip="$1" count=0 iflag=skip_bytes status=none || return
	cat
}

release_file() {
	if [ "$recipe$encoding" = 0none ]; then
		try mv -fT -- "$part" "$beside" || stage_fail "cannot write $7: $why" "$advice"
	else
		why=$(put_together 2>&1 >"$beside") || unpack_fail "$@"
	fi
	sum_of "$beside" "$3" "$8"
}

# unpack_fail: a full disk is told from bytes that are not what was sent.
unpack_fail() {
	case $why in
	*'o space left'* | *'uota'* | *'ead-only'*) ;;
	*)
		[ "$from$recipe" = 00 ] || rec retry
		[ "$recipe" = 0 ] || rm -f -- "$D/chunks/$base"
		;;
	esac
	rm -f -- "$part"
	stage_fail "cannot unpack the release $7: $why" "$advice"
}

# release_tar unpacks the stream while it is hashed: it is never on disk as such. The
# folder is closed to all but root until the digest has turned out right. Folders in it that
# the stream does not name itself are open to all, as tar has it.
release_tar() {
	try mkdir -- "$beside" || stage_fail "cannot write $7: $why" "$advice"
	if [ "$recipe$encoding" = 0none ]; then
		sum_of "$part" "$3" "$8"
		[ "$sum" = "$8" ] || return 0
		why=$(umask 022 && tar -x -f "$part" -C "$beside" --no-same-owner --same-permissions 2>&1) || unpack_fail "$@"
	else
		pick_hash "$3"
		stream_tar "$@"
	fi
	list_release "$@"
}

# list_release KEY … PATH: what the release has brought, by which it is known.
list_release() {
	why=$(cd "$beside" && find . ! -type d -print0 2>&1 >"$D/lists/$1.new") && try mv -f -- "$D/lists/$1.new" "$D/lists/$1" ||
		stage_fail "cannot list the release $7: $why" "$ADVICE_DISK"
}

stream_tar() {
	rm -f -- "$R/tar" "$R/sum" && try mkfifo -- "$R/tar" || stage_fail "cannot write $7: $why" "$advice"
	hash <"$R/tar" >"$R/sum" &
	why=$(
		umask 022
		put_together | tee "$R/tar" 2>/dev/null | tar -x -f - -C "$beside" --no-same-owner --same-permissions 2>&1
	)
	status=$?
	wait
	sum=
	read -r sum <"$R/sum"
	sum=${sum%% *}
	rm -f -- "$R/tar" "$R/sum"
	[ "$status" = 0 ] || [ "$sum" != "$8" ] || unpack_fail "$@"
}
