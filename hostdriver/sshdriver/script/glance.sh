# glance.sh: the states of units alone, which any user may ask systemd for: no sudo.
#
# Set by the controller: UNITS.

op_glance() {
	units=$UNITS
	show_units
	finish
}
