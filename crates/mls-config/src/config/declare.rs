//! `sections!`: declares the keys of the configuration in one table.
//!
//! The structs, the reader, `--show-config`, the example file and the manual page are generated
//! from this table.

/// A section of the configuration file.
#[derive(Debug)]
pub struct ConfigSection {
    /// The name of the section. Letter case does not matter in names of sections and keys.
    pub name: &'static str,
    /// A description of the keys in this section: lines of text.
    pub description: &'static [&'static str],
    /// The keys of the section, in order.
    pub keys: &'static [ConfigKey],
}

/// A key of the configuration file.
#[derive(Debug)]
pub struct ConfigKey {
    /// The section of the key.
    pub section: &'static str,
    /// The name of the key.
    pub name: &'static str,
    /// The default value as text. Empty if the key has no default.
    pub default: &'static str,
    /// Other names, each as `section.key`. If the key itself has a value, they do not count.
    pub aliases: &'static [&'static str],
    /// A description: lines of text.
    pub description: &'static [&'static str],
}

/// Declares [`Config`](super::Config) and a struct for each section. The field of a key has the
/// key's name.
///
/// `= "text"` is the default, as text that the key's type reads. If no configuration file is read,
/// an `Option` or a list does not get its default and is empty. `below DIR` resolves a relative
/// path below the directory that the key `DIR` of `[paths]` names. `also` gives the other names of
/// a key. `check` gives a function that refuses some values.
macro_rules! sections {
    ($(
        $(#[doc = $about:literal])+
        [$section:literal] $field:ident: $type:ident {
            $(
                $(#[doc = $doc:literal])+
                $key:ident: $value:ty = $default:literal
                $(, below $base:ident)?
                $(, also $($alias:literal)+)?
                $(, check $check:path)?;
            )+
        }
    )+) => {
        /// The configuration. Each field is the section of the same name.
        #[derive(Clone, Debug, PartialEq, Default)]
        pub struct Config {
            $($(#[doc = $about])+ pub $field: $type,)+
        }

        /// Every section, in the order of the example file.
        pub const SECTIONS: &[ConfigSection] = &[$(ConfigSection {
            name: $section,
            description: &[$($about),+],
            keys: $type::KEYS,
        }),+];

        impl Config {
            /// Reads every key. Relative paths stay relative.
            pub(super) fn read_keys(ini: &Ini<'_>) -> anyhow::Result<Self> {
                Ok(Self { $($field: $type::read(ini)?,)+ })
            }

            /// Makes relative paths absolute.
            pub(super) fn resolve(&mut self, base: &Base) {
                $(self.$field.resolve(base);)+
            }

            /// Calls `put` with `section.key` and the text of the value, for every key.
            pub(super) fn each(&self, put: &mut impl FnMut(&str, String)) {
                $(self.$field.each(put);)+
            }
        }

        $(
            $(#[doc = $about])+
            #[derive(Clone, Debug, PartialEq)]
            pub struct $type {
                $($(#[doc = $doc])+ pub $key: $value,)+
            }

            impl $type {
                const KEYS: &[ConfigKey] = &[$(ConfigKey {
                    section: $section,
                    name: stringify!($key),
                    default: $default,
                    aliases: &[$($($alias),+)?],
                    description: &[$($doc),+],
                }),+];

                fn key(name: &str) -> &'static ConfigKey {
                    let mut keys = Self::KEYS.iter();
                    keys.find(|key| key.name == name).unwrap_or(&Self::KEYS[0])
                }

                fn read(ini: &Ini<'_>) -> anyhow::Result<Self> {
                    Ok(Self { $($key: {
                        let value: $value = ini.value(Self::key(stringify!($key)))?;
                        $(ini.check(Self::key(stringify!($key)), $check(&value))?;)?
                        value
                    },)+ })
                }

                fn resolve(&mut self, base: &Base) {
                    let _ = base;
                    $($(self.$key.resolve(&base.$base);)?)+
                }

                fn each(&self, put: &mut impl FnMut(&str, String)) {
                    $(put(concat!($section, ".", stringify!($key)), self.$key.show());)+
                }
            }

            impl Default for $type {
                /// The values if no configuration file is read.
                fn default() -> Self {
                    Self { $($key: <$value>::without_file($default),)+ }
                }
            }
        )+
    };
}
pub(super) use sections;

/// The directories below which relative paths are resolved.
pub(super) struct Base {
    pub(super) working_dir: std::path::PathBuf,
    pub(super) state_dir: std::path::PathBuf,
}
