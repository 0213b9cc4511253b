//! Meanings as vectors, beside the words: what is near to a question, and two rankings made one.
//!
//! A vector is kept in a byte for each dimension: of thousands of tools that is a few MiB, and ranks hardly differ by it. Where the
//! vectors come from is nobody's business here.

use std::collections::HashMap;

use super::query::Hit;

/// How little the first places count more than those after them (Cormack, Clarke, Büttcher 2009, who found 60).
const FLAT: f32 = 60.0;

/// A vector of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    values: Box<[i8]>,
    norm: f32,
}

impl Vector {
    /// What a model says of a text; `None` for what has no direction.
    #[allow(clippy::cast_possible_truncation, reason = "from -127 to 127")]
    pub fn new(said: &[f32]) -> Option<Self> {
        let largest = said.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        if !largest.is_normal() || said.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let values: Box<[i8]> = said.iter().map(|value| (value / largest * 127.0).round() as i8).collect();
        let norm = dot(&values, &values).sqrt();
        Some(Self { values, norm })
    }

    /// How many bytes it takes.
    pub fn size(&self) -> usize {
        self.values.len() + size_of::<Self>()
    }

    /// The cosine of the angle between two; nothing is like what has other dimensions.
    pub fn likeness(&self, other: &Self) -> f32 {
        if self.values.len() != other.values.len() {
            return -1.0;
        }
        dot(&self.values, &other.values) / (self.norm * other.norm)
    }
}

#[allow(clippy::cast_precision_loss, reason = "near enough for a rank")]
fn dot(one: &[i8], other: &[i8]) -> f32 {
    one.iter().zip(other).map(|(one, other)| i64::from(i32::from(*one) * i32::from(*other))).sum::<i64>()
        as f32
}

/// The nearest to a question, the best first: of tools by part and place.
pub fn nearest<'a>(
    question: &Vector,
    tools: impl IntoIterator<Item = (usize, usize, &'a Vector)>,
    most: usize,
) -> Vec<Hit> {
    let hit =
        |(part, item, vector): (usize, usize, &Vector)| Hit { part, item, score: question.likeness(vector) };
    ranked(tools.into_iter().map(hit).collect(), most)
}

/// Several rankings as one, by reciprocal ranks: their scores do not compare, their places do.
#[allow(clippy::cast_precision_loss, reason = "ranks are small")]
pub fn fused(rankings: &[&[Hit]], most: usize) -> Vec<Hit> {
    let mut scores: HashMap<(usize, usize), f32> = HashMap::new();
    for ranking in rankings {
        for (rank, hit) in ranking.iter().enumerate() {
            *scores.entry((hit.part, hit.item)).or_default() += 1.0 / (FLAT + rank as f32 + 1.0);
        }
    }
    ranked(scores.into_iter().map(|((part, item), score)| Hit { part, item, score }).collect(), most)
}

fn ranked(mut hits: Vec<Hit>, most: usize) -> Vec<Hit> {
    hits.sort_unstable_by(|one, two| {
        two.score.total_cmp(&one.score).then((one.part, one.item).cmp(&(two.part, two.item)))
    });
    hits.truncate(most);
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(said: &[f32]) -> Vector {
        Vector::new(said).expect("a vector")
    }

    fn places(hits: &[Hit]) -> Vec<(usize, usize)> {
        hits.iter().map(|hit| (hit.part, hit.item)).collect()
    }

    #[test]
    fn what_points_the_same_way_is_near_however_long_it_is() {
        let question = vector(&[1.0, 0.0, 0.1]);
        let (near, far, other) =
            (vector(&[20.0, 1.0, 2.0]), vector(&[-1.0, 0.0, 0.0]), vector(&[0.0, 0.5, 0.0]));
        let tools = [(0, 0, &far), (0, 1, &near), (1, 0, &other)];
        assert_eq!(places(&nearest(&question, tools, 9)), [(0, 1), (1, 0), (0, 0)]);
        assert_eq!(nearest(&question, tools, 1).len(), 1);
        assert!((near.likeness(&near) - 1.0).abs() < 1e-6);
        let small = vector(&[0.02, -0.7, 0.31]);
        assert!((small.likeness(&vector(&[0.04, -1.4, 0.62])) - 1.0).abs() < 1e-3, "a byte is enough");
        assert!(near.likeness(&vector(&[1.0])) < 0.0, "another model's is like nothing");
    }

    #[test]
    fn what_has_no_direction_is_no_vector() {
        for said in [&[][..], &[0.0, 0.0], &[f32::NAN, 1.0], &[f32::INFINITY, 1.0]] {
            assert_eq!(Vector::new(said), None);
        }
    }

    #[test]
    fn what_both_rankings_have_comes_first() {
        let hit = |item| Hit { part: 0, item, score: 1.0 };
        let (words, meanings) = ([hit(1), hit(2), hit(3)], [hit(4), hit(3)]);
        assert_eq!(places(&fused(&[&words, &meanings], 3)), [(0, 3), (0, 1), (0, 4)]);
        assert_eq!(places(&fused(&[&words], 9)), [(0, 1), (0, 2), (0, 3)]);
        assert!(fused(&[], 9).is_empty());
    }
}
