"""The law kit that ships to users: generators, laws to inherit, and the reference broker."""
