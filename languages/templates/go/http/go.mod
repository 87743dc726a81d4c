module wit_component // the name that the generated code goes by

go 1.27.1

require go.bytecodealliance.org/pkg v0.4.0

// What the generated code needs at run time.
replace go.bytecodealliance.org/pkg => ./runtime
