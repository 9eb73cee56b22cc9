package http1

// KindOf names a well-known field by its name, in any case.
func KindOf(name []byte) Kind { return kindOf(name) }
