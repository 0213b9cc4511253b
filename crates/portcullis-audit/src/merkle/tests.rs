//! The tree against the definitions of RFC 9162, written down as they are there, and against known hashes.

#![allow(clippy::cast_possible_truncation, reason = "these trees are small")]

use super::{
    Frontier, Hash, ProofError, TILE, Tree, empty, leaf, node, verify_consistency, verify_inclusion,
};

/// MTH of section 2.1.1.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty(),
        [one] => *one,
        more => {
            let split = more.len().next_power_of_two() / 2;
            node(&root(&more[..split]), &root(&more[split..]))
        }
    }
}

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|number| leaf(&number.to_be_bytes())).collect()
}

fn tree(leaves: &[Hash]) -> Tree {
    let mut tree = Tree::default();
    for leaf in leaves {
        tree.push(*leaf);
    }
    tree
}

#[test]
fn hashes_are_those_that_everybody_has() {
    // SHA-256 of nothing, and of one zero byte.
    assert!(crate::hex(&empty()).starts_with("e3b0c44298fc1c149afbf4c8996fb924"));
    assert!(crate::hex(&leaf(b"")).starts_with("6e340b9cffb37a989ca544e6bb780a2c"));
}

#[test]
fn roots_and_proofs_of_all_small_trees_are_those_of_the_definition() {
    let all = leaves(40);
    for size in 0..=40 {
        let tree = tree(&all[..size]);
        assert_eq!(tree.root(), root(&all[..size]), "{size}");
        let mut read = |from: u64, to: u64| Ok(all[from as usize..to as usize].to_vec());
        for index in 0..size {
            let path = tree.inclusion(index as u64, size as u64, &mut read).unwrap();
            verify_inclusion(index as u64, &all[index], size as u64, &tree.root(), &path).unwrap();
            let other = verify_inclusion(index as u64, &leaf(b"x"), size as u64, &tree.root(), &path);
            assert_eq!(other, Err(ProofError::WrongRoot));
            let longer = [path.clone(), vec![all[0]]].concat();
            assert!(verify_inclusion(index as u64, &all[index], size as u64, &tree.root(), &longer).is_err());
        }
        for old in 0..=size {
            let path = tree.consistency(old as u64, size as u64, &mut read).unwrap();
            let (older, newer) = (root(&all[..old]), tree.root());
            verify_consistency((old as u64, &older), (size as u64, &newer), &path).unwrap();
            if old > 0 {
                let other = verify_consistency((old as u64, &all[39]), (size as u64, &newer), &path);
                assert!(other.is_err() || older == all[39], "{old} {size}");
            }
        }
    }
}

#[test]
fn a_tree_of_tiles_proves_as_one_of_leaves_also_without_its_beginning() {
    let all = leaves(1500);
    let whole = tree(&all);
    let mut read = |from: u64, to: u64| Ok(all[from as usize..to as usize].to_vec());
    for (index, size) in [(0, 1500), (255, 257), (256, 1500), (700, 1024), (1499, 1500)] {
        let path = whole.inclusion(index, size, &mut read).unwrap();
        verify_inclusion(index, &all[index as usize], size, &root(&all[..size as usize]), &path).unwrap();
    }
    let base = whole.frontier_at(3 * TILE, &mut read).unwrap();
    let mut rest = Tree::from_base(base);
    for leaf in &all[3 * TILE as usize..] {
        rest.push(*leaf);
    }
    assert_eq!(rest.root(), whole.root());
    let mut read = |from: u64, to: u64| {
        assert!(from >= 3 * TILE, "what was removed is not read");
        Ok(all[from as usize..to as usize].to_vec())
    };
    for index in [768, 1000, 1499] {
        let path = rest.inclusion(index, 1500, &mut read).unwrap();
        verify_inclusion(index, &all[index as usize], 1500, &whole.root(), &path).unwrap();
    }
}

#[test]
fn a_tree_that_takes_over_what_it_became_is_one_that_grew_leaf_by_leaf() {
    let all = leaves(1500);
    let mut grown = Tree::default();
    for batch in [0..1, 1..255, 255..257, 257..768, 768..1500] {
        let (mut frontier, mut tiles) = (grown.frontier().clone(), Vec::new());
        for leaf in &all[batch] {
            tiles.extend(frontier.push(*leaf));
        }
        for (place, tile) in (grown.size() / TILE..).zip(&tiles) {
            let from = (place * TILE) as usize;
            assert_eq!(*tile, root(&all[from..from + TILE as usize]));
        }
        grown.grow(frontier, tiles.into_iter());
    }
    assert_eq!((grown.size(), grown.root()), (1500, root(&all)));
    let mut few = |from: u64, to: u64| {
        assert!(to - from < TILE, "hashes over whole tiles are known");
        Ok(all[from as usize..to as usize].to_vec())
    };
    grown.consistency(1024, 1500, &mut few).unwrap();
}

#[test]
fn a_frontier_comes_back_from_its_roots() {
    let all = leaves(300);
    let mut frontier = Frontier::default();
    for leaf in &all {
        frontier.push(*leaf);
    }
    let again = Frontier::from_roots(300, frontier.roots().to_vec()).unwrap();
    assert_eq!(again.root(), root(&all));
    assert_eq!(Frontier::from_roots(301, frontier.roots().to_vec()), None);
}
