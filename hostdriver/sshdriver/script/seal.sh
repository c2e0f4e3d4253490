# seal.sh: credentials encrypted with the host's key. Nothing of it is written anywhere: what
# is encrypted goes back to the controller, which stages it as any other file.
#
# Set by the controller: ITEMS (lines, tab separated: name, size; the contents follow one
# another on standard input), SALT.

ADVICE_SEAL="try systemd-creds encrypt there by hand; encrypted: off in the service does without"

op_seal() {
	begin_change
	command -v systemd-creds >/dev/null 2>&1 || die failed "there is no systemd-creds to encrypt credentials with" "$ADVICE_SEAL"
	for item in $ITEMS; do
		name=${item%%"$TAB"*}
		sealed=$(dd bs=65536 count="${item#*"$TAB"}" iflag=count_bytes,fullblock status=none | seal encrypt) || seal_fail "encrypt"
		# The controller compares what it opens to.
		sum=$(
			{
				printf '%s\n' "$SALT"
				printf '%s\n' "$sealed" | seal decrypt
			} | sha256sum
		)
		rec sealed "${sum%% *}"
		printf '%s\n' "$sealed" >&3
	done
	rm -f -- "$R/seal"
	finish
}

# seal VERB: standard input, encrypted or decrypted as the credential $name; what is said
# beside goes to $R/seal.
seal() {
	if [ "$1" = encrypt ]; then
		systemd-creds encrypt --with-key=host --name="$name" - - 2>"$R/seal"
	else
		systemd-creds decrypt --name="$name" - - 2>"$R/seal"
	fi
}

seal_fail() {
	why=$(tail -n 1 -- "$R/seal" | head -c 300)
	rm -f -- "$R/seal"
	die failed "systemd-creds cannot $1 the credential $name: ${why:-it does not say why}" "$ADVICE_SEAL"
}
