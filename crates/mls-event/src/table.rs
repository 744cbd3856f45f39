//! The macro `members!` declares the members of a record once, in their order.
//!
//! The struct, the names, the writer, the fast reader and the tolerant reader are generated from
//! one table. The writer is generated code, not `Serialize`, because mls-parse spends most of its
//! time writing records. serde took twice as long. It spent half of this time searching the names
//! of members for characters to escape.

/// Declares a record. `always` is a member that every record has, possibly null. `optional` is a
/// member that is omitted if it has no value. `with` adds a group of members that is present or
/// absent as a whole. `is` names the type of a record; a group has none.
macro_rules! members {
    (
        $(#[$meta:meta])*
        pub struct $type:ident<$a:lifetime> $(is $kind:literal)? {
            $($presence:ident $name:ident: $value:ty,)*
        }
        $($(#[$group_meta:meta])* with $group:ident: $group_type:ident,)?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(
            missing_docs,
            reason = "each field is the member of the same name in the wire specification"
        )]
        pub struct $type<$a> {
            $(pub $name: $value,)*
            $($(#[$group_meta])* pub $group: Option<$group_type<$a>>,)?
        }

        impl<$a> $type<$a> {
            /// The names of the members, in the order in which they are written.
            pub const MEMBERS: &'static [&'static str] = &[$(stringify!($name)),*];

            pub(crate) fn describe(schema: &mut $crate::schema::Object) {
                $(schema.member(
                    stringify!($name),
                    <$value as $crate::value::MemberValue>::schema(),
                    members!(@required $presence),
                );)*
                $(schema.group($group_type::MEMBERS, $group_type::describe);)?
            }

            /// Appends each member as `,"name":value`.
            pub fn write_members(&self, out: &mut Vec<u8>) {
                $(members!(@write $presence, self.$name, $name, out);)*
                $(if let Some(group) = &self.$group {
                    group.write_members(out);
                })?
            }

            /// Reads the members in exactly the order in which they are written.
            pub(crate) fn read_in_order(rest: &mut $crate::fast_path::Rest<$a>) -> Option<Self> {
                Some(Self {
                    $($name: members!(@read $presence, $name, rest),)*
                    $($group: if rest.has_next($group_type::MEMBERS[0]) {
                        Some($group_type::read_in_order(rest)?)
                    } else {
                        None
                    },)?
                })
            }

            /// Reads the members in any order. Other members may be between them.
            pub(crate) fn from_members(
                members: &$crate::Members<$a>,
            ) -> Result<Self, $crate::BadRecord> {
                Ok(Self {
                    $($name: $crate::value::member(members, stringify!($name))?,)*
                    $($group: if $group_type::MEMBERS.iter().any(|n| members.get(n).is_some()) {
                        Some($group_type::from_members(members)?)
                    } else {
                        None
                    },)?
                })
            }
        }

        $(
        impl $crate::Body for $type<'_> {
            const KIND: &'static str = $kind;

            fn write_members(&self, out: &mut Vec<u8>) {
                $type::write_members(self, out);
            }
        }

        impl<$a> $type<$a> {
            /// Reads a line (without its newline) that is exactly as [`Body`](crate::Body) writes
            /// it. `None` means that [`Record::parse`](crate::Record::parse) has to read the line.
            #[must_use]
            pub fn as_written(line: &$a [u8]) -> Option<Self> {
                let head = concat!("{\"v\":1,\"type\":\"", $kind, "\"");
                $crate::fast_path::read(line, head, Self::read_in_order)
            }
        }
        )?
    };
    (@required always) => {
        true
    };
    (@required optional) => {
        false
    };
    (@write always, $value:expr, $name:ident, $out:ident) => {
        $out.extend_from_slice(concat!(",\"", stringify!($name), "\":").as_bytes());
        $crate::value::MemberValue::write(&$value, $out);
    };
    (@write optional, $value:expr, $name:ident, $out:ident) => {
        if $value.is_some() {
            members!(@write always, $value, $name, $out);
        }
    };
    (@read always, $name:ident, $rest:ident) => {{
        $rest.skip(concat!(",\"", stringify!($name), "\":"))?;
        $crate::value::MemberValue::read($rest)?
    }};
    (@read optional, $name:ident, $rest:ident) => {
        if $rest.skip(concat!(",\"", stringify!($name), "\":")).is_some() {
            $crate::value::MemberValue::read($rest)?
        } else {
            None
        }
    };
}
pub(crate) use members;
