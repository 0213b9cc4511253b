//! Telephone numbers: country codes and lengths of ITU-T E.164 and the national plans, and how numbers are written.
//!
//! A number with a country code is checked against the plan of that country. One without is reported when it is written
//! as numbers are, or when a word says what it is.

/// Country codes with the shortest and longest national number.
const PLANS: &[(u16, u8, u8)] = &[
    (1, 10, 10),
    (7, 10, 10),
    (20, 8, 10),
    (27, 9, 9),
    (30, 10, 10),
    (31, 9, 9),
    (32, 8, 9),
    (33, 9, 9),
    (34, 9, 9),
    (36, 8, 9),
    (39, 6, 11),
    (40, 9, 9),
    (41, 9, 9),
    (43, 5, 13),
    (44, 9, 10),
    (45, 8, 8),
    (46, 7, 10),
    (47, 8, 8),
    (48, 9, 9),
    (49, 6, 13),
    (51, 8, 9),
    (52, 10, 11),
    (53, 6, 8),
    (54, 10, 11),
    (55, 10, 11),
    (56, 9, 9),
    (57, 8, 10),
    (58, 10, 10),
    (60, 8, 10),
    (61, 9, 9),
    (62, 8, 12),
    (63, 8, 10),
    (64, 8, 10),
    (65, 8, 8),
    (66, 8, 9),
    (81, 9, 10),
    (82, 8, 11),
    (84, 9, 10),
    (86, 10, 11),
    (90, 10, 10),
    (91, 10, 10),
    (92, 9, 10),
    (93, 9, 9),
    (94, 9, 9),
    (95, 7, 10),
    (98, 10, 10),
    (211, 9, 9),
    (212, 9, 9),
    (213, 8, 9),
    (216, 8, 8),
    (218, 8, 9),
    (220, 7, 7),
    (221, 9, 9),
    (222, 8, 8),
    (223, 8, 8),
    (224, 8, 9),
    (225, 8, 10),
    (226, 8, 8),
    (227, 8, 8),
    (228, 8, 8),
    (229, 8, 10),
    (230, 7, 8),
    (231, 7, 9),
    (232, 8, 8),
    (233, 9, 9),
    (234, 8, 10),
    (235, 8, 8),
    (236, 8, 8),
    (237, 8, 9),
    (238, 7, 7),
    (239, 7, 7),
    (240, 9, 9),
    (241, 7, 8),
    (242, 9, 9),
    (243, 7, 9),
    (244, 9, 9),
    (245, 7, 9),
    (248, 7, 7),
    (249, 9, 9),
    (250, 8, 9),
    (251, 9, 9),
    (252, 6, 9),
    (253, 8, 8),
    (254, 7, 10),
    (255, 9, 9),
    (256, 9, 9),
    (257, 8, 8),
    (258, 8, 9),
    (260, 9, 9),
    (261, 9, 9),
    (262, 9, 9),
    (263, 8, 10),
    (264, 8, 9),
    (265, 7, 9),
    (266, 8, 8),
    (267, 7, 8),
    (268, 8, 8),
    (269, 7, 7),
    (290, 4, 5),
    (291, 7, 7),
    (297, 7, 7),
    (298, 6, 6),
    (299, 6, 6),
    (350, 8, 8),
    (351, 9, 9),
    (352, 4, 11),
    (353, 7, 10),
    (354, 7, 9),
    (355, 8, 9),
    (356, 8, 8),
    (357, 8, 8),
    (358, 5, 12),
    (359, 7, 9),
    (370, 8, 8),
    (371, 8, 8),
    (372, 7, 8),
    (373, 8, 8),
    (374, 8, 8),
    (375, 9, 9),
    (376, 6, 9),
    (377, 8, 9),
    (378, 6, 10),
    (380, 9, 9),
    (381, 7, 10),
    (382, 8, 9),
    (383, 8, 9),
    (385, 8, 9),
    (386, 8, 8),
    (387, 8, 9),
    (389, 8, 8),
    (420, 9, 9),
    (421, 9, 9),
    (423, 7, 9),
    (500, 5, 5),
    (501, 7, 7),
    (502, 8, 8),
    (503, 7, 8),
    (504, 8, 8),
    (505, 8, 8),
    (506, 8, 8),
    (507, 7, 8),
    (508, 6, 9),
    (509, 8, 8),
    (590, 9, 9),
    (591, 8, 8),
    (592, 7, 7),
    (593, 8, 9),
    (594, 9, 9),
    (595, 7, 9),
    (596, 9, 9),
    (597, 6, 7),
    (598, 7, 8),
    (599, 7, 8),
    (670, 7, 8),
    (673, 7, 7),
    (674, 7, 7),
    (675, 7, 8),
    (676, 5, 7),
    (677, 5, 7),
    (678, 5, 7),
    (679, 7, 7),
    (680, 7, 7),
    (685, 5, 7),
    (687, 6, 6),
    (689, 6, 8),
    (691, 7, 7),
    (692, 7, 7),
    (850, 8, 10),
    (852, 8, 8),
    (853, 8, 8),
    (855, 8, 9),
    (856, 8, 10),
    (870, 9, 9),
    (880, 8, 10),
    (886, 8, 9),
    (960, 7, 7),
    (961, 7, 8),
    (962, 8, 9),
    (963, 8, 9),
    (964, 8, 10),
    (965, 8, 8),
    (966, 8, 9),
    (967, 7, 9),
    (968, 8, 8),
    (970, 8, 9),
    (971, 8, 9),
    (972, 8, 9),
    (973, 8, 8),
    (974, 8, 8),
    (975, 7, 8),
    (976, 8, 8),
    (977, 8, 10),
    (992, 9, 9),
    (993, 8, 8),
    (994, 9, 9),
    (995, 9, 9),
    (996, 9, 9),
    (998, 9, 9),
];

/// Whether these digits, country code first, are a number of that country's plan. `trunk` is a national zero that was
/// written in parentheses after the code: `+44 (0)20`.
pub(crate) fn is_international(digits: &[u8]) -> bool {
    let code = |count: usize| digits[..count].iter().fold(0u16, |code, digit| code * 10 + u16::from(*digit));
    (1..=3).filter(|count| digits.len() > *count).any(|count| {
        PLANS.iter().find(|(known, ..)| *known == code(count)).is_some_and(|(known, shortest, longest)| {
            let national = &digits[count..];
            // Italy's numbers begin with a zero; elsewhere it is the trunk prefix, which some write.
            let national = if *known != 39 && national[0] == 0 { &national[1..] } else { national };
            let length = national.len();
            let fits = (usize::from(*shortest)..=usize::from(*longest)).contains(&length);
            fits && (*known != 1 || is_north_american(national))
        })
    })
}

/// Whether ten digits are a number of the North American plan.
pub(crate) fn is_north_american(digits: &[u8]) -> bool {
    digits.len() == 10
        && digits[0] >= 2
        && digits[3] >= 2
        && digits[1..3] != [1, 1]
        && !(digits[1] == 9 && digits[0] != 9 && digits[2] == 9)
}

/// How a number without a country code is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// As only telephone numbers are.
    Typical,
    /// As a telephone number may be.
    Possible,
    /// As none is.
    Wrong,
}

/// The shape of digits in groups; `separators` has the first byte between each two.
pub(crate) fn shape(digits: &[u8], groups: &[usize], separators: &[u8], has_area: bool) -> Shape {
    let american = |rest: &[u8]| is_north_american(rest);
    let same = separators.windows(2).all(|pair| pair[0] == pair[1]);
    match groups {
        [3, 3, 4]
            if american(digits) && (has_area || (same && matches!(separators[0], b'-' | b'.' | b' '))) =>
        {
            Shape::Typical
        }
        [1, 3, 3, 4] if digits[0] == 1 && american(&digits[1..]) => Shape::Typical,
        [first, _, ..]
            if digits[0] == 0
                && digits[1] != 0
                && *first >= 2
                && (9..=12).contains(&digits.len())
                && groups[1..].iter().all(|group| *group >= 2)
                && !separators.contains(&b'.') =>
        {
            Shape::Typical
        }
        // Spain and Poland, and Stockholm.
        [3, 2, 2, 2] | [2, 3, 2, 2] if digits[0] != 0 && same && matches!(separators[0], b' ' | b'-') => {
            Shape::Typical
        }
        [2, 2, 2, 2] if digits[0] == 0 && digits[1] != 0 && separators == *b"-  " => Shape::Typical,
        _ if (7..=15).contains(&digits.len())
            && groups.iter().all(|group| *group >= 2 || groups.len() <= 5) =>
        {
            Shape::Possible
        }
        _ => Shape::Wrong,
    }
}
