//! Names of months in nine languages, as `%b` of strftime(3) writes them.

/// The beginnings of the names of each month, in lower case. They match the names and abbreviations
/// of glibc's locales for English, German, French, Spanish, Italian, Dutch, Portuguese, Polish and
/// Russian. For example, `jan` matches `january`, and `янв` matches `января`.
const NAMES: [&[&str]; 12] = [
    &["jan", "ene", "gen", "sty", "янв"],
    &["feb", "fév", "fev", "lut", "фев"],
    &["mar", "mär", "mrz", "mrt", "maa", "мар"],
    &["apr", "avr", "abr", "kwi", "апр"],
    &["may", "mai", "mag", "mei", "maj", "май", "мая"],
    &["jun", "juin", "giu", "cze", "июн"],
    &["jul", "juil", "lug", "lip", "июл"],
    &["aug", "aoû", "ago", "sie", "авг"],
    &["sep", "set", "wrz", "сен"],
    &["oct", "okt", "ott", "out", "paź", "окт"],
    &["nov", "lis", "ноя"],
    &["dec", "dez", "déc", "dic", "gru", "дек"],
];

/// The number of a month: 1 for `Jan`, `janv.` or `января`.
pub(crate) fn number(name: &[u8]) -> Option<u32> {
    if name.len() < 3 || name.len() > 24 {
        return None;
    }
    // mls-anonymize calls this for every line. So avoid an allocation for ASCII, the usual case.
    let mut lower = [0; 24];
    let lower = &mut lower[..name.len()];
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let letters = lower.strip_suffix(b".").unwrap_or(lower);
    if letters.is_ascii() {
        return if letters.iter().all(u8::is_ascii_lowercase) { find(letters) } else { None };
    }
    let name = str::from_utf8(letters).ok()?.to_lowercase();
    if name.chars().all(char::is_alphabetic) { find(name.as_bytes()) } else { None }
}

fn find(name: &[u8]) -> Option<u32> {
    let first = name.first()?;
    let is_month =
        |known: &&str| known.as_bytes()[0] == *first && name.starts_with(known.as_bytes());
    (1..).zip(NAMES).find(|(_, names)| names.iter().any(is_month)).map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_known_in_nine_languages() {
        for (language, names) in [
            ("en", "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"),
            ("de", "Jan Feb Mär Apr Mai Jun Jul Aug Sep Okt Nov Dez"),
            ("fr", "janv. févr. mars avril mai juin juil. août sept. oct. nov. déc."),
            ("es", "ene feb mar abr may jun jul ago sep oct nov dic"),
            ("it", "gen feb mar apr mag giu lug ago set ott nov dic"),
            ("nl", "jan feb mrt apr mei jun jul aug sep okt nov dec"),
            ("pt", "jan fev mar abr mai jun jul ago set out nov dez"),
            ("pl", "sty lut mar kwi maj cze lip sie wrz paź lis gru"),
            ("ru", "янв фев мар апр мая июн июл авг сен окт ноя дек"),
        ] {
            for (number, name) in (1..).zip(names.split(' ')) {
                assert_eq!(super::number(name.as_bytes()), Some(number), "{language}: {name}");
            }
        }
    }

    #[test]
    fn the_name_of_a_month_has_only_letters() {
        for name in ["", "Ja", "jan1", "jan:", "mar-x", "vm", "\u{feff}jan", "décembre-x"] {
            assert_eq!(number(name.as_bytes()), None, "{name}");
        }
        assert_eq!(number(b"Jan\xff"), None);
    }
}
