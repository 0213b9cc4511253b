//! What can be found, by the names that users write in configurations and read in findings.
//!
//! The names are part of the public surface. What kind of a secret or whose identifier it is, is a finding's detail.

use std::fmt;

/// A kind of content that somebody may not want to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
#[repr(u8)]
pub enum Entity {
    Email,
    Phone,
    Iban,
    CreditCard,
    /// An IPv4 or IPv6 address, or (detail `MAC`) a hardware address.
    IpAddress,
    /// A number that a state gives to a person; the detail is the country.
    NationalId,
    Passport,
    DateOfBirth,
    /// A credential; the detail is its kind.
    Secret,
    PrivateKey,
    Jwt,
    UrlPassword,
    Password,
    Person,
    Address,
    /// Text that gives orders to a model.
    Injection,
    /// Characters that a reader does not see.
    HiddenText,
}

impl Entity {
    /// How many there are.
    pub const COUNT: usize = 17;

    /// All, in the order of the reference.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Email,
        Self::Phone,
        Self::Iban,
        Self::CreditCard,
        Self::IpAddress,
        Self::NationalId,
        Self::Passport,
        Self::DateOfBirth,
        Self::Secret,
        Self::PrivateKey,
        Self::Jwt,
        Self::UrlPassword,
        Self::Password,
        Self::Person,
        Self::Address,
        Self::Injection,
        Self::HiddenText,
    ];

    /// The public name, `CREDIT_CARD`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "EMAIL",
            Self::Phone => "PHONE",
            Self::Iban => "IBAN",
            Self::CreditCard => "CREDIT_CARD",
            Self::IpAddress => "IP_ADDRESS",
            Self::NationalId => "NATIONAL_ID",
            Self::Passport => "PASSPORT",
            Self::DateOfBirth => "DATE_OF_BIRTH",
            Self::Secret => "SECRET",
            Self::PrivateKey => "PRIVATE_KEY",
            Self::Jwt => "JWT",
            Self::UrlPassword => "URL_PASSWORD",
            Self::Password => "PASSWORD",
            Self::Person => "PERSON",
            Self::Address => "ADDRESS",
            Self::Injection => "INJECTION",
            Self::HiddenText => "HIDDEN_TEXT",
        }
    }

    /// The entity with this public name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|entity| entity.name() == name)
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Some of the entities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct EntitySet(u32);

impl EntitySet {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self((1 << Entity::COUNT) - 1);
    /// Credentials of every form.
    pub const CREDENTIALS: Self = Self::NONE
        .with(Entity::Secret)
        .with(Entity::PrivateKey)
        .with(Entity::Jwt)
        .with(Entity::UrlPassword)
        .with(Entity::Password);
    /// What is about a person.
    pub const PERSONAL: Self = Self::NONE
        .with(Entity::Email)
        .with(Entity::Phone)
        .with(Entity::Iban)
        .with(Entity::CreditCard)
        .with(Entity::IpAddress)
        .with(Entity::NationalId)
        .with(Entity::Passport)
        .with(Entity::DateOfBirth)
        .with(Entity::Person)
        .with(Entity::Address);

    /// What is written in digits.
    pub(crate) const NUMBERS: Self = Self::NONE
        .with(Entity::Phone)
        .with(Entity::CreditCard)
        .with(Entity::IpAddress)
        .with(Entity::NationalId)
        .with(Entity::Passport)
        .with(Entity::DateOfBirth);

    /// What is told by a key or a word before it.
    pub(crate) const NAMES: Self = Self::NONE.with(Entity::Person).with(Entity::Address);

    /// These and one more.
    #[must_use]
    pub const fn with(self, entity: Entity) -> Self {
        Self(self.0 | 1 << entity as u32)
    }

    /// These without one.
    #[must_use]
    pub const fn without(self, entity: Entity) -> Self {
        Self(self.0 & !(1 << entity as u32))
    }

    /// Whether it is one of these.
    pub const fn contains(self, entity: Entity) -> bool {
        self.0 & 1 << entity as u32 != 0
    }

    /// Whether they have one in common.
    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Those in the set.
    pub fn iter(self) -> impl Iterator<Item = Entity> {
        Entity::ALL.into_iter().filter(move |entity| self.contains(*entity))
    }
}

impl FromIterator<Entity> for EntitySet {
    fn from_iter<I: IntoIterator<Item = Entity>>(entities: I) -> Self {
        entities.into_iter().fold(Self::NONE, Self::with)
    }
}
